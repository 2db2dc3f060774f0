"""Patches of images on a GPU, whose number the host learns for many images at once."""

import torch
import torch.nn.functional as F
from torch import Tensor

from leopart_mm.devices import move
from leopart_mm.late_checks import LateChecks
from leopart_mm.retrieval.growing_rows import DeviceRows
from leopart_mm.retrieval.patch_labels import compact_dtype
from leopart_mm.retrieval.patch_sampling import patch_scores

ROWS = 2**16
"""Patches that wait together."""


class PatchBlocks:
    """Takes the patches of images, and keeps those with a class. The host waits once per `ROWS` patches.

    Args:
        keys: Rows for the keys.
        counts: Rows for the counts of classes.
        checks: Are read at the same time.
    """

    def __init__(self, keys: DeviceRows, counts: DeviceRows, checks: LateChecks) -> None:
        self.keys, self.counts, self.checks = keys, counts, checks
        self.patches = self.void_images = 0
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []
        self._rows = 0

    def add(self, tokens: Tensor, counts: Tensor, uniform: Tensor | None = None, share: int = 0) -> None:
        """Add the patches of an image.

        Args:
            tokens: (n, D) features.
            counts: (n, C) pixels of each class.
            uniform: (n,) random numbers of the patches, of which `share` with rare classes are chosen (see
                `sample_patches`). None: all.
            share: How many.
        """
        counts = move(counts, tokens.device)
        labelled = counts.sum(1) > 0
        self.patches = labelled.sum() + self.patches
        self.void_images = ~labelled.any() + self.void_images
        if uniform is not None:
            order = (patch_scores(counts) * uniform).masked_fill(~labelled, torch.inf).argsort(stable=True)[:share]
            tokens, counts, labelled = tokens[order], counts[order], labelled[order]
        self._waiting.append((F.normalize(tokens, dim=1), counts, labelled))
        self._rows += len(tokens)
        if self._rows >= ROWS:
            self.flush()

    def flush(self) -> None:
        """Move what waits into the rows.

        Raises:
            ValueError: If a check failed.
        """
        self.checks.finish()
        if not self._waiting:
            return
        keys, counts, labelled = (torch.cat(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting, self._rows = [], 0
        largest = int(counts.max())
        self.counts.widen(max(self.counts.dtype, compact_dtype(largest), key=lambda dtype: torch.iinfo(dtype).bits))
        self.keys.append(keys[labelled])
        self.counts.append(counts[labelled])

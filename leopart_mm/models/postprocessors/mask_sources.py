"""Noisy foreground masks: from the attention of a network, or from files."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from leopart_mm.masks.attention import attention_foreground
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.registry import MODELS, TASK_UTILS


@TASK_UTILS.register_module()
class AttentionMasks:
    """The cells that hold most of the class token's attention, see `attention_foreground`.

    Source: docs/methods/leopart.md §10.

    Args:
        mass: Share of the attention to keep; 0.65 as published (training uses 0.6).
        sigma, kernel, min_component: As in `attention_foreground`.
        backbone: Config of another backbone whose attention is read, with its `checkpoint` (the published masks are
            DINO's, whatever is evaluated). It sees the images as they are normalised for the model. None: the model's
            own attention, which costs no further forward pass.
        save_dir: Also write the masks there as PNG files (0 and 255, a pixel a cell), which MaskFiles reads.
    """

    def __init__(self, mass: float = 0.65, sigma: float = 0.6, kernel: int = 7, min_component: int = 3,
                 backbone: dict | None = None, save_dir: str | None = None) -> None:
        if not 0 < mass <= 1:
            raise ValueError(f'AttentionMasks: mass={mass} must lie in (0, 1].')
        self.options = dict(mass=mass, sigma=sigma, kernel=kernel, min_component=min_component)
        self.backbone_cfg = backbone
        self.needs_attention = backbone is None
        self.needs_inputs = backbone is not None
        self.save_dir = None if save_dir is None else Path(save_dir)
        self._backbone: nn.Module | None = None

    def __call__(self, batch: FeatureBatch) -> Tensor:
        """Masks (B, h, w) float {0, 1} on the patch grid; cells of padding are 0.

        Each image's own cells alone are looked at: what a batch pads does not change a mask.

        Raises:
            ValueError: The attention is missing, or of another grid than the model's features.
        """
        attention, (height, width) = self._attention(batch)
        attention = attention.mean(dim=1).view(-1, 1, height, width)
        masks = torch.zeros(len(attention), height, width, device=attention.device)
        for members, (rows, columns, _) in batch.content_groups((height, width)):
            cut = attention[members, :, rows, columns]
            masks[members, rows, columns] = attention_foreground(cut, **self.options)[:, 0]
        if self.save_dir is not None:
            self._save(batch, masks)
        return masks

    def _attention(self, batch: FeatureBatch) -> tuple[Tensor, tuple[int, int]]:
        if self.backbone_cfg is None:
            features = batch.features
        else:
            if batch.inputs is None:
                raise ValueError('AttentionMasks with a backbone of its own needs the images of a batch.')
            features = self._other(batch.inputs).forward_dense(batch.inputs, cls_attention=True)
        if features.cls_attention is None:
            raise ValueError('The batch holds no attention of the class token: use a backbone with forward_dense, such '
                             'as leopart_mm.DenseViT, or MaskFiles.')
        if features.grid != batch.features.grid:
            raise ValueError(f'The backbone of the masks has a grid of {features.grid} patches, the model one of '
                             f'{batch.features.grid}: extents of padded images differ. Take a backbone of the same '
                             'patch size, or write its masks with save_dir and read them with MaskFiles.')
        return features.cls_attention, features.grid

    @torch.no_grad()
    def _other(self, inputs: Tensor) -> nn.Module:
        if self._backbone is None:
            self._backbone = MODELS.build(self.backbone_cfg).eval().requires_grad_(False)
            self._backbone.init_weights()
        return self._backbone.to(inputs.device)

    def _save(self, batch: FeatureBatch, masks: Tensor) -> None:
        self.save_dir.mkdir(parents=True, exist_ok=True)
        for index, name in enumerate(batch.names):
            rows, columns, _ = batch.content(index, tuple(masks.shape[-2:]))
            path = self.save_dir / f'{Path(name).stem}.png'
            if not cv2.imwrite(os.fspath(path), (masks[index, rows, columns].cpu().numpy() * 255).astype(np.uint8)):
                raise OSError(f'The mask {path} could not be written: is the disk full?')

    def release(self) -> None:
        """Drop the other backbone from memory."""
        self._backbone = None


@TASK_UTILS.register_module()
class MaskFiles:
    """Masks from image files named after the images; what is not 0 is foreground.

    Args:
        folder: Where they lie. Any size: they are resized (nearest) to the patch grid.
        suffix: Of the files.
        ignore: A value that counts as background besides 0, such as 255 where it marks borders; None: no other.

    Raises:
        FileNotFoundError: No such folder.
    """

    needs_attention = False
    needs_inputs = False

    def __init__(self, folder: str, suffix: str = '.png', ignore: int | None = None) -> None:
        self.folder = Path(folder).expanduser()
        if not self.folder.is_dir():
            raise FileNotFoundError(f'MaskFiles: the folder {self.folder} does not exist.')
        self.suffix = suffix
        self.ignore = ignore

    def __call__(self, batch: FeatureBatch) -> Tensor:
        """Masks (B, h, w) float {0, 1} on the patch grid; cells of padding are 0.

        Raises:
            FileNotFoundError: An image has no mask.
            ValueError: Two images of a batch have one name, or a file is no image.
        """
        grid = batch.features.grid
        stems = Counter(Path(name).stem for name in set(batch.names))
        twice = [stem for stem, count in stems.items() if count > 1]
        if twice:
            raise ValueError(f'MaskFiles tells images apart by their file names, but {twice[0]!r} is the name of '
                             'several.')
        masks = torch.zeros(len(batch), *grid, device=batch.features.maps[0].device)
        for index, name in enumerate(batch.names):
            rows, columns, _ = batch.content(index, grid)
            masks[index, rows, columns] = self._read(name, masks[index, rows, columns].shape).to(masks.device)
        return masks

    def _read(self, name: str, size: tuple[int, int]) -> Tensor:
        path = self.folder / f'{Path(name).stem}{self.suffix}'
        if not path.is_file():
            raise FileNotFoundError(f'The image {name} has no foreground mask {path}.')
        mask = cv2.imread(os.fspath(path), cv2.IMREAD_UNCHANGED)
        if mask is None:
            raise ValueError(f'The foreground mask {path} could not be read: it is no image file.')
        mask = mask if mask.ndim == 2 else mask[..., :3].max(axis=2)
        inside = (mask != 0) if self.ignore is None else (mask != 0) & (mask != self.ignore)
        resized = cv2.resize(inside.astype(np.uint8), tuple(size)[::-1], interpolation=cv2.INTER_NEAREST)
        return torch.from_numpy(resized).float()

    def release(self) -> None:
        """Nothing to drop."""


def build_mask_source(config: Any) -> Any:
    """A mask source from its config, or one that is built already."""
    return TASK_UTILS.build(config) if isinstance(config, dict) else config

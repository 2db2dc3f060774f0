"""Reading the patch memory of a process from a stream of labelled features (docs/methods/neco.md §8.3)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather_object, get_dist_info
from torch import Tensor

from leopart_mm.devices import move
from leopart_mm.late_checks import LateChecks
from leopart_mm.models.decode_heads.patch_blocks import PatchBlocks
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.retrieval.growing_rows import DeviceRows, GrowingRows
from leopart_mm.retrieval.patch_labels import compact_dtype, patch_class_counts
from leopart_mm.retrieval.patch_sampling import patch_scores, patch_uniforms, patches_per_image, sample_patches


@dataclass
class MemorySettings:
    """What decides which patches are kept; see RetrievalHead."""

    num_classes: int
    memory_size: int | None
    passes: int
    ignore_index: int
    void: str
    seed: int
    key_dtype: torch.dtype


def read_memory(stream: Iterable[FeatureBatch], settings: MemorySettings,
                features_of: Callable[[Sequence[Tensor]], Tensor]) -> tuple[Tensor, Tensor, dict[str, int]]:
    """Keys, label counts and statistics of the images that this process reads.

    Besides a batch of features only what is kept is in memory; the buffers grow in place. On a CUDA GPU they lie there,
    see `PatchBlocks`; faults in features and labels are then seen some images later.

    Args:
        stream: Read `passes` times. Its batches carry `data_samples` with ``gt_sem_seg``. An attribute `num_images`
            (images of all processes together) saves a pass that counts them.
        settings: Settings that choose which patches are kept.
        features_of: Makes of the maps of a batch the one whose patches are kept, (B, C, h, w) float32.

    Returns:
        Keys (n, D), unit vectors; counts (n, C) in the smallest integer type that holds them; and numbers: images,
        void_images (not a pixel with a class), patches (with a class, whether kept or not).

    Raises:
        ValueError: If an image has no labels, labels that are no classes, or features with NaN.
    """
    num_images = _count_images(stream)
    share = None
    if settings.memory_size is not None:
        share = patches_per_image(settings.memory_size, max(1, num_images), settings.passes)
    keys = counts = blocks = None
    checks = LateChecks()
    numbers = dict(images=0, void_images=0, patches=0)
    for pass_index in range(settings.passes):
        for batch in stream:
            features = features_of(batch.features.maps)
            if keys is None:
                new = GrowingRows if features.device.type != 'cuda' else partial(DeviceRows, device=features.device)
                keys, counts = new(features.shape[1], settings.key_dtype), new(settings.num_classes, torch.uint8)
                _reserve(keys, counts, num_images, settings.passes, share or features[0, 0].numel())
                blocks = PatchBlocks(keys, counts, checks) if isinstance(keys, DeviceRows) else None
            for index, name in enumerate(batch.names):
                image = _image(batch, features, index, name, settings, checks)
                uniform = None if share is None else patch_uniforms(settings.seed, batch.keys[index], pass_index,
                                                                    len(image[1]))
                numbers['images'] += pass_index == 0
                if blocks is not None:
                    blocks.add(*image, None if share is None else move(uniform, features.device), share or 0)
                    continue
                found, found_counts, labelled = _kept(*image, uniform, share)
                if found_counts.numel():
                    counts.widen(max(counts.dtype, compact_dtype(int(found_counts.max())), key=_bytes))
                keys.append(found)
                counts.append(found_counts)
                numbers['patches'] += labelled
                numbers['void_images'] += pass_index == 0 and not labelled
        if blocks is not None:
            blocks.flush()
            numbers['patches'] = int(blocks.patches)
            numbers['void_images'] = numbers['void_images'] if pass_index else int(blocks.void_images)
    if keys is None:
        return torch.zeros(0, 0), torch.zeros(0, settings.num_classes, dtype=torch.uint8), numbers
    return keys.release(), counts.release(), numbers


def _bytes(dtype: torch.dtype) -> int:
    return torch.iinfo(dtype).bits


def _count_images(stream: Any) -> int:
    number = getattr(stream, 'num_images', None)
    if number is not None:
        return number
    return sum(all_gather_object(sum(len(batch) for batch in stream)))


def _reserve(keys: GrowingRows | DeviceRows, counts: GrowingRows | DeviceRows, num_images: int, passes: int,
             per_image: int) -> None:
    rank, world = get_dist_info()
    rows = -(-max(0, num_images - rank) // world) * passes * per_image
    keys.reserve(rows)
    counts.reserve(rows)


def _image(batch: FeatureBatch, features: Tensor, index: int, name: str, settings: MemorySettings,
           checks: LateChecks) -> tuple[Tensor, Tensor]:
    """All patches (n, D) of an image, and the pixels (n, C) of each class in them."""
    rows, columns, extent = batch.content(index, tuple(features.shape[-2:]))
    part = features[index, :, rows, columns]
    checks.add((~torch.isfinite(part)).sum(),
               lambda _: f'{name}: features hold NaN or infinity: check the checkpoint (diverged training?) and mixed '
                         'precision of the backbone.')
    sample = None if batch.data_samples is None else batch.data_samples[index]
    if sample is None or 'gt_sem_seg' not in sample:
        raise ValueError(f'{name} has no labels, which retrieval needs to fill its memory: add LoadAnnotations before '
                         'PackSegInputs in the pipeline of fit_dataloader, and a data set with masks.')
    try:
        counts = patch_class_counts(sample.gt_sem_seg.data.squeeze(0), tuple(part.shape[-2:]), settings.num_classes,
                                    extent, settings.ignore_index, settings.void, checks.named(name))
    except ValueError as error:
        raise ValueError(f'{name}: {error}') from error
    return part.flatten(1).T, counts


def _kept(tokens: Tensor, counts: Tensor, uniform: Tensor | None, share: int | None) -> tuple[Tensor, Tensor, int]:
    """Kept keys and counts of an image, and how many of its patches have a class."""
    kept = labelled = counts.sum(1).nonzero().squeeze(1)
    if share is not None:
        uniform = uniform.to(counts.device)
        kept = labelled[sample_patches(patch_scores(counts[labelled]), uniform[labelled], share)]
    return F.normalize(tokens[kept.to(tokens.device)], dim=1), counts[kept], len(labelled)

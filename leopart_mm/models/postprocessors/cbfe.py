"""CBFE: cluster-based foreground extraction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from leopart_mm.clustering.foreground import (
    RULES,
    ForegroundCounts,
    cluster_sizes,
    cut_agreement,
    precision_ranks,
    published_cuts,
    published_threshold,
)
from leopart_mm.devices import float64_device, move
from leopart_mm.geometry.cell_counts import pixels_per_cell
from leopart_mm.geometry.patch_grid import cell_indices, image_index, upsample_labels
from leopart_mm.late_checks import LateChecks
from leopart_mm.masks.sources import MaskSource
from leopart_mm.models.fitting.base import FittedPostprocessor
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.fitting.processes import broadcast_result, gather_parts
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.models.fitting.tensor_stages import LookUpLabels, TensorStage
from leopart_mm.models.postprocessors.mask_sources import build_mask_source, mask_inputs
from leopart_mm.registry import MODELS

ALL = ''  # the group of all images


@dataclass
class _Part:
    """What a process has counted: per group of images, and in it per label map, the counts of the clusters."""

    groups: dict[str, list[ForegroundCounts]] = field(default_factory=dict)
    images: int = 0
    empty_masks: int | Tensor = 0

    def add(self, group: str, counts: list[ForegroundCounts]) -> None:
        known = self.groups.get(group)
        self.groups[group] = counts if known is None else [a + b for a, b in zip(known, counts, strict=True)]

    def __add__(self, other: '_Part') -> '_Part':
        total = _Part(dict(self.groups), self.images + other.images, self.empty_masks + other.empty_masks)
        for group, counts in other.groups.items():
            total.add(group, counts)
        return total

    def cpu(self) -> '_Part':
        """The counts on the CPU."""
        return _Part({group: [count.cpu() for count in counts] for group, counts in self.groups.items()}, self.images,
                     int(self.empty_masks))


@MODELS.register_module()
class CBFE(FittedPostprocessor):
    """Turns cluster maps into foreground masks: clusters that lie on a noisy foreground.

    Source: docs/methods/leopart.md §10 step 3.

    `fit` reads noisy masks, gives every cluster its precision (mean over the images where it occurs of its share inside
    the mask) and cuts the clusters by it. `forward` looks up the clusters above the cut: 1 foreground, 0 background.
    One pass over the images (two with 'published'); memory holds a few numbers per cluster.

    Args:
        masks: Where the noisy masks come from, a MaskSource: AttentionMasks (default: the model's own attention) or
            MaskFiles.
        threshold: The rule:

            - 'chance' (default): clusters that lie on the noisy masks more often than all pixels do, see
              `chance_threshold`. No label of any kind is read. On the 260 images of the VOC subset that this was
              developed with (supervised ViT-Ti/16, attention mass 0.65 / 0.8 / 0.9) the foreground agrees with the
              ground truth (mean Jaccard) by 50.5 / 56.8 / 56.0 %, with the published rule by 52.1 / 55.7 / 55.6.
            - 'agreement': the cut at which the foreground clusters agree best (Jaccard) with the noisy masks
              themselves. No label is read; it needs masks that cover objects well (there: 27.5 / 50.6 / 56.0).
            - 'otsu': two groups of clusters by precision. No label is read (there: 23.7 / 47.8 / 54.8).
            - 'published': looks at ground truth: of the cuts between `cuts[0]` and `cuts[1]` (shares of K) that of best
              mean Jaccard with the ground truth of the fit set, its precision rounded to the next multiple of 0.05.
            - a number: clusters of at least this precision.
        map_size: Clusters and masks are compared on maps of this size (nearest, from the patch grid), as published;
            None: on the patch grid.
        cuts: See 'published'.
        threshold_split: With 'published': only images whose metainfo ``split`` is this one choose the threshold
            (published: 'train'). None: all.
        per_split: Images of each ``split`` of the fit set use precisions of their own split (published); images of no
            such split use those of all images.

    Attributes:
        precisions: Fitted: (G, S, K) of all images and of each split, for S label maps of the stage before.
        thresholds: Fitted: (S,).

    Raises:
        ValueError: If a setting is unknown or out of range.
    """

    STATE = ('precisions', 'thresholds')
    name = 'foreground'
    title = 'foreground'
    background = 0
    pointwise = True
    num_labels = 2

    def __init__(self,
                 masks: dict | MaskSource | None = None,
                 threshold: str | float = 'chance',
                 map_size: tuple[int, int] | None = (100, 100),
                 cuts: tuple[float, float] = (0.55, 0.75),
                 threshold_split: str | None = None,
                 per_split: bool = False,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if isinstance(threshold, str) and threshold not in (*RULES, 'published'):
            raise ValueError(f'CBFE: threshold={threshold!r} is unknown; known are: {", ".join(RULES)}, published, or '
                             'a number.')
        if not isinstance(threshold, str) and not 0 <= threshold <= 1:
            raise ValueError(f'CBFE: threshold={threshold} is a precision, it must lie in 0..1.')
        if not 0 <= cuts[0] < cuts[1] <= 1:
            raise ValueError(f'CBFE: cuts={cuts} must be two rising shares of the clusters.')
        self.masks = build_mask_source(masks or dict(type='leopart_mm.AttentionMasks'))
        self.threshold = threshold
        self.map_size = None if map_size is None else tuple(map_size)
        self.cuts = tuple(cuts)
        self.threshold_split = threshold_split
        self.per_split = per_split

    def requests(self, fitting: bool = False, pictures: bool = False) -> Requests:
        """What the masks are made of; a fitted stage needs nothing."""
        return Requests(**self.masks.requests) if fitting or pictures else Requests()

    @torch.no_grad()
    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """Find precisions and threshold on the images of all processes.

        Raises:
            ValueError: If the masks have no foreground, no cluster reaches the threshold, or 'published' finds no
                ground truth.
        """
        try:
            parts = gather_parts(lambda: self._read(stream))
            found = broadcast_result(lambda: self._precisions(parts))
            if self.threshold == 'published':
                splits = gather_parts(lambda: self._agreement_with_truth(stream, found['precisions'][0]))
                found['thresholds'] = broadcast_result(lambda: self._published(splits, found['precisions'][0]))
            broadcast_result(lambda: self._check(found))
        finally:
            self.masks.release()
        info = dict(found['info'], thresholds=found['thresholds'].tolist(), rule=self.threshold)
        self.keep({name: found[name] for name in self.STATE}, info)

    def noisy_masks(self, batch: FeatureBatch, grid: tuple[int, int]) -> Tensor:
        """The source's masks (B, h, w) {0, 1} on `grid`."""
        masks = self.masks(mask_inputs(batch))
        return masks if tuple(masks.shape[-2:]) == grid else upsample_labels(masks, grid, rule='corner')

    def _read(self, stream: Iterable[FeatureBatch]) -> _Part:
        """Counts over the images of this process; on a GPU they come to the host at the end."""
        part, checks = _Part(), LateChecks()
        for batch in stream:
            prediction = batch.prediction
            masks = self.noisy_masks(batch, prediction.grid)
            splits = self._splits(batch)
            for members, (rows, columns, extent) in prediction.content_groups():
                index = image_index(members, masks.device)
                inside = masks[index, rows, columns]
                weights = pixels_per_cell(tuple(inside.shape[-2:]), self.map_size, extent)
                weights = move(torch.from_numpy(weights.copy()), inside.device)
                part.empty_masks += (inside.flatten(1).sum(1) == 0).sum()
                sizes = [cluster_sizes(maps[index, rows, columns], inside, prediction.num_labels, weights, checks.add)
                         for maps in prediction.hard_labels]
                for group in {ALL, *(splits[member] for member in members)}:
                    chosen = [place for place, member in enumerate(members) if group in (ALL, splits[member])]
                    chosen = image_index(chosen, sizes[0][0].device)
                    part.add(group, [ForegroundCounts.of_images(*(size[chosen] for size in pair)) for pair in sizes])
            part.images += len(batch)
        checks.finish()
        return part.cpu()

    def _splits(self, batch: FeatureBatch) -> list[str]:
        if not self.per_split or batch.data_samples is None:
            return [ALL] * len(batch)
        return [str(sample.metainfo.get('split', ALL)) for sample in batch.data_samples]

    def _precisions(self, parts: Sequence[_Part]) -> dict[str, Any]:
        total = sum(parts, _Part())
        if not total.images:
            raise ValueError('CBFE saw no image: the data set for fitting is empty.')
        if total.empty_masks == total.images:
            raise ValueError(f'CBFE: the noisy foreground masks of all {total.images} images are empty. Check the '
                             'source of the masks: the mass and min_component of AttentionMasks, or the files of '
                             'MaskFiles.')
        names = [ALL, *sorted(total.groups.keys() - {ALL})]
        precisions = torch.stack([torch.stack([counts.precisions for counts in total.groups[name]]) for name in names])
        everything = total.groups[ALL]
        if self.threshold in RULES:
            rule = RULES[self.threshold]
            thresholds = [rule(counts.precisions, counts.inside, counts.size) for counts in everything]
        else:  # 'published' follows in a second pass
            thresholds = [float('nan') if self.threshold == 'published' else float(self.threshold)] * len(everything)
        first = everything[0]
        info = dict(images=total.images, images_without_foreground=total.empty_masks, groups=names,
                    noisy_share=float(first.inside.sum() / first.size.sum()), sizes=first.size.tolist())
        return dict(precisions=precisions, thresholds=torch.tensor(thresholds, dtype=torch.float64), info=info)

    def _agreement_with_truth(self, stream: Iterable[FeatureBatch], precisions: Tensor) -> Tensor:
        """Sum over images of the Jaccard index with ground truth at every cut, and their number: (S, cuts + 1)."""
        number = precisions.shape[-1]
        cuts = published_cuts(number, self.cuts)
        ranks = precision_ranks(precisions)
        sums = torch.zeros(len(ranks), len(cuts) + 1, dtype=torch.float64)
        for batch in stream:
            prediction, labels = batch.prediction, batch.prediction.hard_labels
            device = float64_device(labels)
            labels, ranks, sums = labels.to(device), move(ranks, device), move(sums, device)
            for index, name in enumerate(batch.names):
                sample = None if batch.data_samples is None else batch.data_samples[index]
                if self.threshold_split is not None and (sample is None or
                                                         sample.metainfo.get('split') != self.threshold_split):
                    continue
                if sample is None or 'gt_sem_seg' not in sample:
                    raise ValueError(f"{name}: CBFE's threshold='published' looks at ground truth, but there is none: "
                                     "add LoadAnnotations to the fit pipeline, or take the rule 'agreement'.")
                rows, columns, extent = prediction.content(index)
                gt = sample.gt_sem_seg.data.reshape(sample.gt_sem_seg.data.shape[-2:]).to(device)
                size = self.map_size or tuple(gt.shape)
                gt = upsample_labels(gt, size, rule='corner')
                grid = rows.stop - rows.start, columns.stop - columns.start
                cells = move(cell_indices(grid, size, extent, 'corner').flatten(), device)
                for variant, rank in enumerate(ranks):
                    pixels = rank[labels[variant, index, rows, columns].flatten()][cells]
                    sums[variant, :-1] += cut_agreement(pixels, gt.flatten(), number)[cuts.start:cuts.stop]
                    sums[variant, -1] += 1
        return sums.cpu()

    def _published(self, parts: Sequence[Tensor], precisions: Tensor) -> Tensor:
        sums = torch.stack(list(parts)).sum(0)
        if not sums[0, -1]:
            raise ValueError(f'CBFE: no image of the fit set has the split {self.threshold_split!r} on which the '
                             "published threshold is chosen: metainfo 'split' comes from VOCLayoutDataset and must be "
                             'among the meta_keys of PackSegInputs. threshold_split=None takes all images.')
        cuts = published_cuts(precisions.shape[-1], self.cuts)
        if not len(cuts):
            raise ValueError(f'CBFE: between {self.cuts} of {precisions.shape[-1]} clusters lies no cut: take more '
                             'clusters or wider cuts.')
        return torch.tensor([published_threshold(values, agreement[:-1], cuts)
                             for values, agreement in zip(precisions, sums, strict=True)], dtype=torch.float64)

    def _check(self, found: dict[str, Any]) -> None:
        for precisions, threshold in zip(found['precisions'][0], found['thresholds'], strict=True):
            chosen = int((precisions >= threshold - 1e-9).sum())
            if not chosen:
                raise ValueError(f'CBFE: no cluster reaches the precision {float(threshold):.3f}; the best has '
                                 f'{float(precisions.max()):.3f}. Lower the threshold.')
            print_log(f'CBFE ({self.threshold}): {chosen} of {len(precisions)} clusters are foreground, precision from '
                      f'{float(threshold):.3f}; noisy masks cover {100 * found["info"]["noisy_share"]:.1f} % of '
                      f'{found["info"]["images"]} images', logger='current')

    @torch.no_grad()
    def forward(self, prediction: Prediction, batch: FeatureBatch) -> Prediction:
        """Cluster ids (S, B, h, w) to 1 (foreground) and 0, int64.

        Raises:
            NotFittedError: If nothing was fitted or loaded.
            ValueError: If it was fitted on another number of label maps.
        """
        self.require_fitted()
        labels = prediction.hard_labels
        if len(labels) != len(self.thresholds):
            raise ValueError(f'CBFE was fitted on {len(self.thresholds)} label maps per image, but the stage before '
                             f'gives {len(labels)}: fit again.')
        foreground = self._foreground().to(labels.device)
        masks = torch.stack([of_cluster[maps] for of_cluster, maps in zip(foreground[0], labels, strict=True)])
        groups = self.info['groups']
        for index, split in enumerate(self._splits(batch)):
            if split in groups[1:]:
                for variant, of_cluster in enumerate(foreground[groups.index(split)]):
                    masks[variant, index] = of_cluster[labels[variant, index]]
        return prediction.with_labels(masks, self.num_labels)

    def _foreground(self) -> Tensor:
        """(G, S, K) int64: 1 for clusters of the foreground."""
        # 1e-9: a threshold that was a precision itself must not lose its cluster to rounding
        return (self.precisions >= self.thresholds[:, None] - 1e-9).long()

    def as_tensors(self) -> TensorStage:
        """Foreground or not, by the precisions of all images."""
        return LookUpLabels(self._foreground()[0, 0])

    def pictures(self, batch: FeatureBatch) -> dict[str, Tensor]:
        """The noisy masks."""
        return {'noisy foreground': self.noisy_masks(batch, batch.features.grid)}

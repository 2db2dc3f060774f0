"""CBFE: cluster-based foreground extraction."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from leopart_mm.clustering.foreground import RULES, cluster_sizes, cut_agreement
from leopart_mm.geometry.cell_counts import pixels_per_cell
from leopart_mm.geometry.patch_grid import cell_indices, upsample_labels
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.processes import broadcast_result, gather_parts
from leopart_mm.models.postprocessors.fitted import FittedPostprocessor
from leopart_mm.models.postprocessors.mask_sources import build_mask_source
from leopart_mm.registry import MODELS

ALL = ''  # the group of all images


@MODELS.register_module()
class CBFE(FittedPostprocessor):
    """Turns cluster maps into foreground masks: clusters that lie on a noisy foreground.

    Source: docs/methods/leopart.md §10 step 3.

    `fit` reads noisy masks, gives every cluster its precision (mean over the images where it occurs of its share inside
    the mask) and cuts the clusters by it. `forward` looks up the clusters above the cut: 1 foreground, 0 background.
    One pass over the images (two with 'published'); memory holds a few numbers a cluster.

    Args:
        masks: Where the noisy masks come from: AttentionMasks (default: the model's own attention) or MaskFiles.
        threshold: The rule:

            - 'chance' (default): clusters that lie on the noisy masks more often than all pixels do, see
              `chance_threshold`. No label of any kind is read. On the 260 images of the VOC subset that this was
              developed with (supervised ViT-Ti/16, attention mass 0.65 / 0.8 / 0.9) the foreground agrees with the
              ground truth (mean Jaccard) by 50.5 / 56.8 / 56.0 %, with the published rule by 52.1 / 55.7 / 55.6.
            - 'agreement': the cut at which the foreground clusters agree best (Jaccard) with the noisy masks
              themselves. No label either; needs masks that cover objects well (there: 27.5 / 50.6 / 56.0).
            - 'otsu': two groups of clusters by precision. No label either (there: 23.7 / 47.8 / 54.8).
            - 'published': looks at ground truth: of the cuts between `cuts[0]` and `cuts[1]` (shares of K) that of best
              mean Jaccard with the ground truth of the fit set, its precision rounded to the next multiple of 0.05.
            - a number: clusters of at least this precision.
        map_size: Clusters and masks are compared on maps of this size (nearest, from the patch grid), as published;
            None: on the patch grid.
        cuts: See 'published'.
        threshold_split: With 'published': only images whose metainfo ``split`` is this one choose the threshold
            (published: 'train'). None: all.
        per_split: Images of each ``split`` of the fit set use precisions of their own split (published); other images,
            and None of it by default, use those of all images.

    Attributes: `precisions` (G, S, K) of all images and of each split, `thresholds` (S,), for S label maps of the stage
    before.

    Raises:
        ValueError: A setting is unknown or out of range.
    """

    STATE = ('precisions', 'thresholds')
    num_labels = 2

    def __init__(self,
                 masks: dict | Any = None,
                 threshold: str | float = 'chance',
                 map_size: tuple[int, int] | None = (100, 100),
                 cuts: tuple[float, float] = (0.55, 0.75),
                 threshold_split: str | None = None,
                 per_split: bool = False,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if isinstance(threshold, str) and threshold not in (*RULES, 'published'):
            raise ValueError(f'CBFE: threshold={threshold!r} is unknown; there are: {", ".join(RULES)}, published, or '
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
        self._fitting = False

    @property
    def _reads_masks(self) -> bool:
        return self._fitting or self.keep_pictures or not self.is_fitted

    @property
    def needs_attention(self) -> bool:
        """While masks are made from it; a fitted stage needs none."""
        return self._reads_masks and self.masks.needs_attention

    @property
    def needs_inputs(self) -> bool:
        """While another backbone makes masks from them."""
        return self._reads_masks and self.masks.needs_inputs

    @torch.no_grad()
    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """Find precisions and threshold on the images of all processes.

        Raises:
            ValueError: No foreground in the masks; no cluster reaches the threshold; 'published' without ground truth.
        """
        self._fitting = True
        try:
            parts = gather_parts(lambda: self._read(stream))
            found = broadcast_result(lambda: self._precisions(parts))
            if self.threshold == 'published':
                splits = gather_parts(lambda: self._agreement_with_truth(stream, found['precisions']))
                found['thresholds'] = broadcast_result(lambda: self._published(splits, found['precisions']))
            broadcast_result(lambda: self._check(found))
        finally:
            self._fitting = False
            self.masks.release()
        info = dict(found['info'], thresholds=found['thresholds'].tolist(), rule=self.threshold)
        self.keep({name: found[name] for name in self.STATE}, info)

    def noisy_masks(self, batch: FeatureBatch, grid: tuple[int, int]) -> Tensor:
        """The source's masks (B, h, w) {0, 1} on `grid`."""
        masks = self.masks(batch)
        return masks if tuple(masks.shape[-2:]) == grid else upsample_labels(masks, grid, rule='corner')

    def _read(self, stream: Iterable[FeatureBatch]) -> dict[str, Any]:
        """Sums over this process's images: of shares inside, of occurrences, of pixels inside and in all."""
        number, sums, images, empty = stream.num_labels, {}, 0, 0
        for batch in stream:
            labels, grid = batch.labels, tuple(batch.labels.shape[-2:])
            masks = self.noisy_masks(batch, grid)
            groups = self._splits(batch)
            for members, (rows, columns, extent) in batch.content_groups(grid):
                inside = masks[members, rows, columns]
                cells = tuple(inside.shape[-2:])
                weights = torch.from_numpy(pixels_per_cell(cells, self.map_size, extent).copy()).to(inside.device)
                empty += int((inside.flatten(1).sum(1) == 0).sum())
                for stage, maps in enumerate(labels):
                    counts = cluster_sizes(maps[members, rows, columns], inside, number, weights)
                    self._add(sums, stage, [groups[index] for index in members], *counts)
            images += len(batch)
        return dict(sums=sums, images=images, empty=empty)

    def _splits(self, batch: FeatureBatch) -> list[str]:
        samples = batch.data_samples
        if not self.per_split or samples is None:
            return [ALL] * len(batch)
        return [str(sample.metainfo.get('split', ALL)) for sample in samples]

    @staticmethod
    def _add(sums: dict, stage: int, groups: Sequence[str], inside: Tensor, size: Tensor) -> None:
        rows = torch.stack([inside / size.clamp(min=1), (size > 0).double(), inside, size], dim=1).cpu()  # (n, 4, K)
        for group in {ALL, *groups}:
            chosen = rows if group == ALL else rows[[other == group for other in groups]]
            key = group, stage
            sums[key] = chosen.sum(0) + sums.get(key, 0)

    def _precisions(self, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
        sums: dict = {}
        for part in parts:
            for key, value in part['sums'].items():
                sums[key] = value + sums.get(key, 0)
        images, empty = (sum(part[name] for part in parts) for name in ('images', 'empty'))
        if not sums:
            raise ValueError('CBFE saw no image: the data set for fitting is empty.')
        if empty == images:
            raise ValueError(f'CBFE: the noisy foreground masks of all {images} images are empty. Check the source of '
                             'the masks: the mass and min_component of AttentionMasks, or the files of MaskFiles.')
        groups = [ALL, *sorted({group for group, _ in sums} - {ALL})]
        stages = 1 + max(stage for _, stage in sums)
        precisions = torch.stack([torch.stack([sums[group, stage][0] / sums[group, stage][1].clamp(min=1)
                                               for stage in range(stages)]) for group in groups])
        thresholds = torch.full((stages, ), float('nan'), dtype=torch.float64)
        if self.threshold in RULES:
            rule = RULES[self.threshold]
            thresholds = torch.tensor([rule(precisions[0, stage], sums[ALL, stage][2], sums[ALL, stage][3])
                                       for stage in range(stages)], dtype=torch.float64)
        elif self.threshold != 'published':
            thresholds = torch.full_like(thresholds, float(self.threshold))
        total = sums[ALL, 0]
        info = dict(images=images, images_without_foreground=empty, groups=groups,
                    noisy_share=float(total[2].sum() / total[3].sum()), sizes=total[3].tolist())
        return dict(precisions=precisions, thresholds=thresholds, info=info)

    def _agreement_with_truth(self, stream: Iterable[FeatureBatch], precisions: Tensor) -> Tensor:
        """Sum over images of the Jaccard index with ground truth at every cut, and their number: (S, cuts + 1)."""
        number = precisions.shape[-1]
        starts = torch.arange(int(self.cuts[0] * number), int(self.cuts[1] * number))
        rank = precisions[0].argsort(dim=-1, stable=True).argsort(dim=-1)
        sums = torch.zeros(len(rank), len(starts) + 1, dtype=torch.float64)
        for batch in stream:
            for index, name in enumerate(batch.names):
                sample = None if batch.data_samples is None else batch.data_samples[index]
                if self.threshold_split is not None and (sample is None or
                                                         sample.metainfo.get('split') != self.threshold_split):
                    continue
                if sample is None or 'gt_sem_seg' not in sample:
                    raise ValueError(f"{name}: CBFE's threshold='published' looks at ground truth, but there is none: "
                                     "add LoadAnnotations to the fit pipeline, or take the rule 'agreement'.")
                rows, columns, extent = batch.content(index, tuple(batch.labels.shape[-2:]))
                gt = sample.gt_sem_seg.data.reshape(sample.gt_sem_seg.data.shape[-2:]).cpu()
                size = self.map_size or tuple(gt.shape)
                gt = upsample_labels(gt, size, rule='corner')
                grid = rows.stop - rows.start, columns.stop - columns.start
                cells = cell_indices(grid, size, extent, 'corner').flatten()
                for stage, order in enumerate(rank):
                    pixels = order[batch.labels[stage, index, rows, columns].flatten().cpu()][cells]
                    sums[stage, :-1] += cut_agreement(pixels, gt.flatten(), number)[starts]
                    sums[stage, -1] += 1
        return sums

    def _published(self, parts: Sequence[Tensor], precisions: Tensor) -> Tensor:
        sums = torch.stack(list(parts)).sum(0)
        if not sums[0, -1]:
            raise ValueError(f'CBFE: no image of the fit set has the split {self.threshold_split!r} on which the '
                             "published threshold is chosen: metainfo 'split' comes from VOCLayoutDataset and must be "
                             'among the meta_keys of PackSegInputs. threshold_split=None takes all images.')
        if sums.shape[1] < 2:
            raise ValueError(f'CBFE: between {self.cuts} of {precisions.shape[-1]} clusters lies no cut: take more '
                             'clusters or wider cuts.')
        start = int(self.cuts[0] * precisions.shape[-1]) + sums[:, :-1].argmax(dim=1, keepdim=True)
        best = precisions[0].sort(dim=-1).values.gather(1, start)[:, 0]
        return (best / 0.05).round() * 0.05

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
    def forward(self, labels: Tensor, features: DenseFeatures, data_samples: Sequence[Any] | None) -> Tensor:
        """Cluster ids (S, B, h, w) to 1 (foreground) and 0, int64.

        Raises:
            NotFittedError: Nothing was fitted or loaded.
            ValueError: Fitted on another number of label maps.
        """
        self.require_fitted()
        if len(labels) != len(self.thresholds):
            raise ValueError(f'CBFE was fitted on {len(self.thresholds)} label maps an image, but the stage before '
                             f'gives {len(labels)}: fit again.')
        # 1e-9: a threshold that was a precision itself must not lose its cluster to rounding
        foreground = (self.precisions >= self.thresholds[:, None] - 1e-9).long()
        masks = [foreground[0, stage][maps] for stage, maps in enumerate(labels)]
        masks = torch.stack(masks)
        groups = self.info['groups']
        if self.per_split and data_samples is not None and len(groups) > 1:
            for index, sample in enumerate(data_samples):
                split = str(sample.metainfo.get('split', ALL))
                if split in groups[1:]:
                    for stage, maps in enumerate(labels):
                        masks[stage, index] = foreground[groups.index(split), stage][maps[index]]
        return masks

    def pictures(self, batch: FeatureBatch) -> dict[str, Tensor]:
        """The noisy masks."""
        return {'noisy foreground': self.noisy_masks(batch, batch.features.grid)} if self.keep_pictures else {}

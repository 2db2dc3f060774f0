"""Clusters of the masks of a file as their categories; what `tools/cluster_masks.py` does."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.utils import import_modules_from_strings
from mmseg.utils import register_all_modules

from leopart_mm.apis.mask_crops import CropFeatures, CropReader, MaskCrop
from leopart_mm.apis.mask_sets import GroundTruth, MaskSet
from leopart_mm.apis.proposal_network import ProposalNetwork
from leopart_mm.clustering.mask_clusters import SEED, ClusterNames, check_number, cluster_features, name_clusters
from leopart_mm.datasets.coco_json import write_coco
from leopart_mm.datasets.output_marks import mark_outputs
from leopart_mm.devices import best_device
from leopart_mm.files import printable, shorten, write_image_whole
from leopart_mm.visualization.crop_sheet import crop_sheet
from leopart_mm.written_files import WrittenFiles

DESCRIPTION = 'Masks with clusters as categories, by leopart_mm'
SHOWN, SHOWN_SIDE = 12, 128  # crops of a cluster in a picture, and their longest side


@dataclass(frozen=True)
class ClusterSettings:
    """What `mask_clusters` of a config says.

    Args:
        num_clusters: Number of classes C; None: that of the ground truth.
        overcluster: Clusters per class: K is their product, rounded.
        seed, n_init, batch_size, whitened: See `cluster_features`.
        max_side: Crops with a longer side are made smaller; None: no limit, as published (VOC and COCO have none).
        crops_per_batch: Most crops that go through the network at once.
        num_workers: Processes that read images.
        crowds: Whether a crowd may give a mask its class, as published.
        data_root: Folder of the images.
    """

    num_clusters: int | None = None
    overcluster: float = 1
    seed: int = SEED
    n_init: int = 3
    batch_size: int = 1000
    whitened: bool = True
    max_side: int | None = 1024
    crops_per_batch: int = 16
    num_workers: int = 0
    crowds: bool = False
    data_root: str | None = None

    @classmethod
    def from_config(cls, config: Config, **given: Any) -> 'ClusterSettings':
        """From a config, and what was given beside it (None: not given).

        Raises:
            ValueError: If a key is unknown or a number out of range.
        """
        values = dict(config.get('mask_clusters') or {})
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f'mask_clusters has no {", ".join(unknown)}; there are: {", ".join(known)}.')
        settings = cls(**values | {key: value for key, value in given.items() if value is not None})
        for key in ('num_clusters', 'overcluster', 'n_init', 'batch_size'):
            if (value := getattr(settings, key)) is not None and value <= 0:
                raise ValueError(f'mask_clusters.{key} must be positive, not {value}.')
        if not isinstance(settings.seed, int) or not 0 <= settings.seed < 2**32:
            raise ValueError(f'mask_clusters.seed must be a whole number from 0 to 2**32 - 1, not {settings.seed!r}.')
        return settings

    def number(self, truth: GroundTruth | None) -> int:
        """K.

        Raises:
            ValueError: If neither the settings nor a ground truth say it.
        """
        if self.num_clusters is None and truth is None:
            raise ValueError('How many clusters? Give --num-clusters N (VOC: 20, COCO: 80), or a ground truth by --gt.')
        return max(round((self.num_clusters or len(truth.class_ids)) * self.overcluster), 1)


@dataclass
class ClusterReport:
    """What became of masks.

    Args:
        sizes: Masks of each cluster, those of the support set left out.
        support: Number of masks of the support set.
        computed: Number of masks whose features were not there from an earlier run.
        names: What the ground truth says; None without one.
        without_target: Number of masks that it says nothing about.
        matching: Category id of each cluster; empty without a ground truth.
        box_ap50: Average precision of the boxes of the named masks at IoU 0.5, 0..1; None without a JSON to score by.
    """

    sizes: list[int]
    support: int
    computed: int
    names: ClusterNames | None
    without_target: int
    matching: list[int]
    box_ap50: float | None = None

    def summary(self) -> str:
        """The report in words."""
        empty = self.sizes.count(0)
        text = (f'{sum(self.sizes)} masks' + f' beside {self.support} of the support set' * bool(self.support)
                + f' in {len(self.sizes)} clusters of {min(self.sizes)} to {max(self.sizes)} masks'
                + f' ({empty} without any)' * bool(empty)
                + f'; features of {self.computed} computed, of {sum(self.sizes) + self.support - self.computed} there '
                'already')
        if self.names is None:
            return f'{text}. Categories are the ids of clusters: there is no ground truth.'
        text += (f'. Clusters named by the ground truth: accuracy {100 * self.names.accuracy:.2f} %, NMI '
                 f'{100 * self.names.nmi:.2f} %, ARI {100 * self.names.ari:.2f} % over {self.names.samples} masks')
        if self.box_ap50 is not None:
            text += f'; box AP50 {100 * self.box_ap50:.2f} %'
        if self.without_target:
            text += f'; {self.without_target} masks are of images without a known object, and do not count'
        return f'{text}.'


def cluster_masks(config: Config, masks: str | os.PathLike, out: str | os.PathLike,
                  images: str | os.PathLike | None = None, support: str | os.PathLike | None = None,
                  support_images: str | os.PathLike | None = None, gt: str | os.PathLike | None = None,
                  support_gt: str | os.PathLike | None = None, checkpoint: str | None = None,
                  cache: str | os.PathLike | None = None, device: str | None = None,
                  show: str | os.PathLike | None = None, **settings: Any) -> ClusterReport:
    """Write a file of masks again with clusters as categories.

    Each mask has the class token of its box's crop; k-means runs over these tokens and those of the support set. The
    category of a mask is its cluster, or with a ground truth the class that its cluster is named by; then ``info``
    holds the matching and its scores.

    Args:
        config: With `model.backbone` and `mask_clusters`.
        masks: The file of masks, see `MaskSet.read`.
        out: The file that is written, whole or not at all. It replaces nothing but such a file of an earlier run.
        images: Folder of the images; None: `mask_clusters.data_root`.
        support: File of the masks of a support set, which is clustered too, but not written.
        support_images: Their images; None: `images`.
        gt: Ground truth to name clusters by: a COCO JSON or a folder of VOC; None: no names.
        support_gt: That of the support set; None: `gt`.
        checkpoint: Weights of the backbone; None: those that the config names.
        cache: Folder where features are kept; None: ``<out>.features`` beside `out`.
        device: Such as 'cuda:1'; None: a GPU if there is one.
        show: A picture file for crops of each cluster, likewise; None: none.
        **settings: Fields of ClusterSettings, over those of the config.

    Raises:
        ValueError: If a file, a setting or a mask cannot be used; the message says which and why.
        FileNotFoundError: If a file or an image is missing.
    """
    if config.get('custom_imports'):
        import_modules_from_strings(**config.custom_imports)
    register_all_modules(init_default_scope=False)
    options, out = ClusterSettings.from_config(config, **settings), Path(out).expanduser()
    folder = images if images is not None else options.data_root
    if folder is None:
        raise ValueError('Where are the images of the masks? Give their folder by --images.')
    truths = _read_truths(gt, support_gt, options.crowds)
    number = options.number(truths[1])
    sets = [MaskSet.read(masks, folder, truths[0])]
    if support is not None:
        sets.append(MaskSet.read(support, folder if support_images is None else support_images, truths[1]))
    _keep_files(out, show, [masks, support, gt, support_gt])
    check_number(sum(map(len, sets)), number)
    crops = [part.crops() for part in sets]
    targets = [target for part, truth in zip(sets, truths, strict=False) for target in part.targets(truth)]
    network = ProposalNetwork.from_config(config, checkpoint).to(torch.device(device or best_device()))
    extract = CropFeatures(network, Path(cache).expanduser() if cache is not None else feature_folder(out),
                           options.crops_per_batch, options.max_side, options.num_workers)
    features = np.concatenate([extract(part) for part in crops])
    clusters = cluster_features(features, number, options.seed, options.n_init, options.batch_size, options.whitened)
    names, matching = _name(clusters, targets, number, truths[1])
    clusters = clusters[:len(sets[0])]
    report = ClusterReport(np.bincount(clusters, minlength=number).tolist(), len(targets) - len(clusters),
                           extract.computed, names, targets.count(None), matching)
    annotations = [dict(dict(score=1.) | annotation, category_id=matching[cluster] if matching else cluster)
                   for annotation, cluster in zip(sets[0].annotations, clusters.tolist(), strict=True)]
    if truths[0] is not None:
        report.box_ap50 = truths[0].box_ap50(zip(sets[0].image_names(), annotations, strict=True))
    categories = [dict(id=cluster, name=f'cluster {cluster}') for cluster in range(number)]
    used = dict(network=extract.settings, num_clusters=number, seed=options.seed, n_init=options.n_init,
                batch_size=options.batch_size, whitened=options.whitened)
    write_coco(out, sets[0].images, annotations, truths[1].categories if matching else categories,
               info=_info(report, used))
    if show is not None:
        names = {entry['id']: entry['name'] for entry in truths[1].categories} if matching else {}
        titles = [f'{cluster} {names.get(category, "")}' for cluster, category in enumerate(matching or range(number))]
        write_image_whole(Path(show).expanduser(), _picture(crops[0], clusters, titles))
    return report


def _keep_files(out: Path, show: str | os.PathLike | None, inputs: Sequence[str | os.PathLike | None]) -> None:
    """Refuse outputs that would replace an input, or a file that no run wrote."""
    for path in inputs:
        if path is not None and out.exists() and out.samefile(Path(path).expanduser()):
            raise ValueError(f'{printable(out)} is read by this run, which would replace it: choose another --out.')
    if out.exists():
        with open(out, 'rb') as stream:
            if DESCRIPTION.encode() not in stream.read(4096):
                raise ValueError(f'{printable(out)} would be replaced, but no run wrote it: choose another --out, or '
                                 'remove it.')
    if show is not None:
        picture = Path(show).expanduser()
        WrittenFiles(picture.parent, 'pictures').add([picture.name])
        mark_outputs(picture.parent, [picture.name])


def feature_folder(out: Path) -> Path:
    """Where features are kept if nothing else is said."""
    return out.with_name(f'{out.name}.features')


def _picture(crops: Sequence[MaskCrop], clusters: np.ndarray, titles: Sequence[str]) -> np.ndarray:
    """A line of crops per cluster, spread evenly over its masks."""
    groups = {}
    for cluster, title in enumerate(titles):
        members = np.flatnonzero(clusters == cluster)
        places = np.linspace(0, len(members) - 1, min(len(members), SHOWN)).round().astype(int)
        shown = CropReader([[crops[index] for index in members[places]]], SHOWN_SIDE)[0]
        groups[f'{title} ({len(members)})'] = [crop[..., ::-1] for crop in shown]
    return crop_sheet(groups)


def _read_truths(gt: str | os.PathLike | None, support_gt: str | os.PathLike | None,
                 crowds: bool) -> tuple[GroundTruth | None, GroundTruth | None]:
    """The ground truth of the masks, and that of the support set, which is the same if there is no other."""
    truth = None if gt is None else GroundTruth(gt, crowds)
    other = truth if support_gt is None else GroundTruth(support_gt, crowds)
    if truth is not None and other.categories != truth.categories:
        raise ValueError(f'{printable(truth.path)} and {printable(other.path)} have different categories, so clusters '
                         'cannot be named by both.')
    return truth, other


def _name(clusters: np.ndarray, targets: list[int | None], number: int,
          truth: GroundTruth | None) -> tuple[ClusterNames | None, list[int]]:
    """Names of the clusters, and the category id of each."""
    if truth is None:
        return None, []
    ids = sorted(set(truth.class_ids) | (set(targets) - {None}))
    position = {category: index for index, category in enumerate(ids)}
    indices = np.array([-1 if target is None else position[target] for target in targets])
    if (indices < 0).all():
        raise ValueError(f'{printable(truth.path)} has no object in any image of the masks: is it the ground truth of '
                         'another data set, or are its images named otherwise?')
    names = name_clusters(clusters, indices, number, len(ids))
    if names.empty:
        print_log(f'Clusters {shorten(names.empty)} hold no mask with a known object: their names say nothing.',
                  logger='current', level=logging.WARNING)
    if number < len(truth.class_ids):
        print_log(f'{number} clusters can be named by at most {number} of the {len(truth.class_ids)} classes.',
                  logger='current', level=logging.WARNING)
    return names, [ids[index] for index in names.classes]


def _info(report: ClusterReport, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the file says of itself: settings, sizes and, with a ground truth, the matching and its scores (percent)."""
    info: dict[str, Any] = dict(description=DESCRIPTION, settings=dict(settings),
                                masks_per_cluster=report.sizes, support_masks=report.support)
    if (names := report.names) is None:
        return info
    scores = dict(accuracy=names.accuracy, nmi=names.nmi, ari=names.ari, box_ap50=report.box_ap50)
    return info | dict(
        matching=report.matching, matched_by=names.matched_by,
        **{key: 100 * value for key, value in scores.items() if value is not None}, masks_with_target=names.samples,
        masks_without_target=report.without_target, clusters_without_target=names.empty)

"""LeopartInferencer: images of any kind and size to label maps, one by one."""

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from mmengine.utils import import_modules_from_strings
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from leopart_mm.apis.checkpoint_config import config_of, has_config, test_pipeline_of
from leopart_mm.apis.image_inputs import ImageInput, ImageList, list_images, preview
from leopart_mm.apis.image_run import Report, process_images
from leopart_mm.apis.tiling import segment_tiles
from leopart_mm.checkpoints.roles import IN_WORDS, TRAINING, WEIGHTS, how_to_fit, role_of
from leopart_mm.checkpoints.safe_reading import load_checkpoint_file
from leopart_mm.datasets.band_reading import prepare_bands, read_bands
from leopart_mm.datasets.value_range import noted_range
from leopart_mm.devices import best_device
from leopart_mm.engine.loops.fit_loops import predict
from leopart_mm.evaluation.label_writer import no_data_label
from leopart_mm.files import printable, shorten
from leopart_mm.masks.crf import CRFSettings
from leopart_mm.masks.label_refinement import refine_labels
from leopart_mm.models.fitting.base import GRID
from leopart_mm.models.fitting.stream import FeatureStream
from leopart_mm.registry import INFERENCERS, MODELS
from leopart_mm.visualization.cluster_names import BACKGROUND, ClusterNames

ONLY_FOR_SCORES = ('Load', 'CentreCrop', 'KeepNetworkSize')  # beginnings of the names of transforms


class MisfitError(ValueError):
    """A checkpoint and a config that do not belong together."""


@dataclass
class Segmentation:
    """What was found in one image.

    Args:
        name: Name of the image without suffix, unique among those of a call.
        path: File of the image; None for an array.
        labels: (H, W) cluster ids, uint8 for up to 256 clusters, else uint16. Pixels without data have the
            `no_data_label`: 255, or 65535 of more than 255 clusters (in uint16 then).
        names: Names and colours of all clusters.
        image: (H, W, bands) as it was read.
        missing: (H, W) bool, pixels without data; None if all have some.
    """

    name: str
    path: str | None
    labels: np.ndarray
    names: ClusterNames
    image: np.ndarray
    missing: np.ndarray | None = None

    @cached_property
    def groups(self) -> tuple[np.ndarray, ClusterNames]:
        """(H, W) label map in which clusters of the same name are merged, and the names and colours of its labels.

        Pixels without data keep their label.
        """
        group_of, names = self.names.merged()
        if self.missing is None:
            return group_of.astype(self.labels.dtype)[self.labels], names
        groups = group_of.astype(self.labels.dtype)[np.where(self.missing, 0, self.labels)]
        groups[self.missing] = no_data_label(len(self.names.names))
        return groups, names

    def overlay(self, alpha: float = 0.6, max_side: int | None = 2048) -> np.ndarray:
        """The image painted with its named clusters, (h, w, 3) uint8 RGB, not (much) larger than `max_side`.

        The background is darkened; hidden clusters and pixels without data stay unpainted.
        """
        step = 1 if max_side is None else max(max(self.labels.shape) // max_side, 1)
        picture = preview(self.image, self.image.shape[2], max_side, self.missing)
        missing = None if self.missing is None else self.missing[::step, ::step]
        return self.names.overlay(picture, self.labels[::step, ::step], alpha, missing=missing)

    def counts(self) -> np.ndarray:
        """(K,) number of pixels of each cluster."""
        number = len(self.names.names)
        return sum(np.bincount(line, minlength=2**16)[:number] if self.missing is not None else
                   np.bincount(line, minlength=number) for line in self.labels)


@INFERENCERS.register_module(name=['LeopartInferencer', 'FittedInferencer'])
class LeopartInferencer:
    """Segments images with any fitted or trained segmentor; nothing but the image at work is kept.

        inferencer = LeopartInferencer('fitted.pth')
        labels = inferencer.segment('street.jpg').labels
        for found in inferencer('my/images'):           # a folder, a list, an array
            write_labels(f'out/{found.name}.png', found.labels, inferencer.num_clusters)
        print(inferencer.report.summary())

    Images are prepared by the config's test transforms without the loading steps. An image up to `max_side` (or, if
    given, `tile_size`) px is segmented as a whole; a larger one in overlapping tiles of that size, each prepared as an
    image by itself, and each pixel takes the label of the tile whose centre is nearest. So the network sees an image
    scaled by ``network side / max(image side, tile side)``, which has no step: labels of images just below and just
    above the limit agree. Beyond the limit the scale stays; smaller tiles show more detail, and cost more.

    Args:
        checkpoint: A fitted checkpoint (tools/test.py --save-fitted), a loaded one, or any of a trained mmseg model.
        config: Config file or Config; None takes the one in the checkpoint. That is only parsed, never run.
        names: Naming file (see `ClusterNames.load`), a ClusterNames, or None.
        device: Such as 'cuda:1'; None: a GPU if there is one.
        tile_size: Side of a tile in pixels of the image; larger images are cut into such. None: `max_side`.
        overlap: Least number of pixels that tiles share; None: a quarter of a tile.
        max_side: Longest side in pixels that is segmented as a whole, without `tile_size`.
        parts: Return the clusters before they are merged to communities, of a model with CommunityDetection.
        segments: 'smooth': outlines from smoothed, up-sampled features, for people; 'blocks': labels of the nearest
            patch, as in published numbers; see FittableSegmentor. None: as the model's config says.
        crf: Draw outlines to the edges of the image by `refine_labels` with these settings; None: do not.

    Attributes:
        model: The segmentor.
        num_clusters: Number of labels, K.
        names: Names and colours of the labels, a ClusterNames.
        bands: Number of bands of an image; the backbone's `in_chans`.
        value_range: Range that images of more than 8 bits are scaled from, that of the data set fitted on. Networks of
            another number of bands than three take the numbers as they are, unless their config loads by `LoadImage`.
        nodata: Number of missing pixels, beside NaN, infinity and GDAL's tag.
        communities: With `parts`, the community of each cluster; else None.
        transforms: Configs of the transforms that prepare an image.
        report: A `Report` of the latest call.

    Raises:
        ValueError: If there is no config, it has no test transforms, the model is not fitted, or `parts` is asked of a
            model without communities.
    """

    def __init__(self,
                 checkpoint: str | os.PathLike | dict,
                 config: str | Path | Config | None = None,
                 names: str | os.PathLike | ClusterNames | None = None,
                 device: str | torch.device | None = None,
                 tile_size: int | None = None,
                 overlap: int | None = None,
                 max_side: int = 2048,
                 parts: bool = False,
                 segments: str | None = None,
                 crf: CRFSettings | None = None) -> None:
        title = 'the checkpoint' if isinstance(checkpoint, dict) else f'The checkpoint {checkpoint}'
        loaded = checkpoint if isinstance(checkpoint, dict) else load_checkpoint_file(checkpoint)
        name = 'CHECKPOINT' if isinstance(checkpoint, dict) else os.fspath(checkpoint)
        role = role_of(loaded)
        first = f'{title} holds {IN_WORDS[role]}, which gives no label maps. Fit it first: {how_to_fit(name)}.'
        if role == TRAINING or (role == WEIGHTS and config is None and not has_config(loaded)):
            raise ValueError(first)
        self.config = config_of(loaded, title, config)
        self.device = torch.device(device or best_device())
        try:
            self.model = self._build_model(loaded, title)
        except MisfitError as error:
            raise MisfitError(first) if role == WEIGHTS else error from None
        self.communities = self._stop_before_communities() if parts else None
        self.crf = crf
        if segments is not None and hasattr(self.model, 'segments'):
            self.model.segments = segments
        self.num_clusters = _num_labels(self.model)
        self.names = self._read_names(names, loaded)
        backbone = self.config.model.backbone
        self.bands: int = backbone.get('in_chans', backbone.get('in_channels', 3))
        self.value_range, self.nodata = noted_range(loaded)
        self.stream: FeatureStream | None = None
        self._pipeline = self._build_pipeline()
        self._scaled_from = self.value_range if self.bands == 3 or _loads_by_ours(self.config) else None
        self.max_side = max_side
        self.tile_size = tile_size
        self._tile = max_side if tile_size is None else tile_size
        self.overlap = self._tile // 4 if overlap is None else overlap
        if not 0 <= self.overlap < self._tile:
            raise ValueError(f'overlap={self.overlap} must be smaller than the tiles of {self._tile} px.')
        self.report = Report()

    def read_from(self, stream: FeatureStream) -> None:
        """Take features from the stream that the model was just fitted on: no image goes through the network twice.

        Raises:
            ValueError: If its model is another one.
        """
        if model_digest(stream.model) != model_digest(self.model):
            raise ValueError('The stream was read by another model than the one of this inferencer.')
        stream.model.segments = self.model.segments
        self.model, self.stream = stream.model, stream

    def _mark_background(self, names: ClusterNames) -> ClusterNames:
        """Mark the label that is no object, if there is one: of the model's last stage, or the class of that name."""
        stages = list(getattr(self.model, 'postprocessors', {}).values())
        label = next((stage.background for stage in reversed(stages) if stage.level == GRID), None)
        if label is None and BACKGROUND in names.names:
            label = names.names.index(BACKGROUND)
        if label is not None:
            names.mark_background(label)
        return names

    def _build_model(self, checkpoint: dict, title: str) -> nn.Module:
        from mmseg.utils import register_all_modules
        register_all_modules(init_default_scope=False)
        if self.config.get('custom_imports'):
            import_modules_from_strings(**self.config.custom_imports)
        with DefaultScope.overwrite_default_scope(self.config.get('default_scope', 'mmseg')):
            model = MODELS.build(self.config.model)
        if not hasattr(model, 'num_labels') and not hasattr(model, 'decode_head'):
            raise ValueError(f'The config builds a {type(model).__name__}, which gives no label maps: give the config '
                             f'of the evaluation that {title[0].lower()}{title[1:]} was fitted or trained with.')
        _load(model, checkpoint.get('state_dict', checkpoint), title)
        if not getattr(model, 'is_fitted', True):
            raise ValueError(f'{title} holds a model that is not fitted. Fit it by tools/test.py CONFIG CHECKPOINT '
                             '--save-fitted FILE, and give that file.')
        return model.to(self.device).eval()

    def _stop_before_communities(self) -> list[int]:
        """Cut the stage with a network of clusters and what follows off; returns the community of each cluster."""
        stages = getattr(self.model, 'postprocessors', {})
        name = next((name for name, stage in stages.items() if hasattr(stage, 'network')), None)
        if name is None:
            raise ValueError('parts=True needs a model with CommunityDetection; this one has no communities.')
        communities = stages[name].network().communities.tolist()
        stages.stop_before(name)
        return communities

    def _build_pipeline(self) -> Compose:
        """The test transforms without those that load: images come from `load_image`, and there are no labels.

        Nor those that cut a square out of the image, or keep label maps at the network's size, for a score: every pixel
        of the image gets a label.
        """
        self.transforms = [step for step in test_pipeline_of(self.config)
                           if not str(step['type']).rpartition('.')[2].startswith(ONLY_FOR_SCORES)]
        with DefaultScope.overwrite_default_scope(self.config.get('default_scope', 'mmseg')):
            return Compose(self.transforms)

    def _read_names(self, names: Any, checkpoint: dict) -> ClusterNames:
        if isinstance(names, ClusterNames):
            if len(names.names) != self.num_clusters:
                raise ValueError(f'{len(names.names)} names were given for {self.num_clusters} clusters.')
            return names
        if names is not None:
            found = ClusterNames.load(names, self.num_clusters)
            if ClusterNames.model_of(names) not in (None, model_digest(self.model)):
                print_log(f'The naming file {printable(names)} was written for another model: its names may not fit '
                          'these clusters.', logger='current', level=logging.WARNING)
            return found
        meta = checkpoint.get('meta', {}).get('dataset_meta') or {}
        classes, palette = meta.get('classes') or (), meta.get('palette')
        if len(classes) == self.num_clusters and palette is not None and len(palette) == self.num_clusters:
            return self._mark_background(ClusterNames(list(classes), np.asarray(palette, np.uint8)))
        return self._mark_background(ClusterNames.default(self.num_clusters))

    def __call__(self, inputs: ImageInput | Sequence[ImageInput] | ImageList) -> Iterator[Segmentation]:
        """Segment images one by one; those that cannot be read are left out and named in `report`.

        Args:
            inputs: A file, a folder (searched with its sub-folders), an array (see `segment`), a list of such, or what
                `list_images` returned.

        Raises:
            FileNotFoundError: If a file or folder does not exist, or a folder holds no image; at once, not during
                iteration.
        """
        images = inputs if isinstance(inputs, ImageList) else list_images(inputs)
        self.report = Report(num_skipped=images.num_skipped)
        return self._stream(images, self.report)

    def _stream(self, images: ImageList, report: Report) -> Iterator[Segmentation]:
        for found in process_images(images, self.segment, report):
            if found is not None:
                report.num_done += 1
                yield found
            del found  # else the last result would live until the next one exists

    def segment(self, image: str | os.PathLike | np.ndarray, name: str | None = None) -> Segmentation:
        """Segment one image.

        Args:
            image: A file, or an array (H, W), (H, W, C) or (C, H, W); three bands in BGR order, 0..255, as OpenCV reads
                them.
            name: Name of the result; None: that of the file.

        Raises:
            ImageReadError: If it cannot be read, or has another number of bands than the network takes.
        """
        path = None if isinstance(image, np.ndarray) else os.fspath(image)
        array, missing = read_bands(image if path is None else path, self.bands, self.value_range, self.nodata)
        name = name or ('image' if path is None else Path(path).stem)
        dtype = np.uint8 if self.num_clusters <= 256 else np.uint16
        longest = max(array.shape[:2])
        if longest > self._tile:
            if self.tile_size is None:
                print_log(f'{printable(name)} is {array.shape[1]} x {array.shape[0]} px: segmented in tiles of '
                          f'{self._tile} px', logger='current')
            labels = segment_tiles(array, self._tile, self.overlap, partial(self._predict, path), dtype, missing)
        else:
            labels = self._predict(path, np.ascontiguousarray(array), missing).astype(dtype)
        return Segmentation(name, path, mark_missing(labels, missing, self.num_clusters), self.names, array, missing)

    @torch.no_grad()
    def logits(self, image: str | os.PathLike | np.ndarray) -> tuple[Tensor, np.ndarray, np.ndarray | None]:
        """What the network says of an image as a whole, at the size at which the network sees it.

        Args:
            image: As for `segment`.

        Returns:
            (K, h, w) logits on the device; the image (H, W, bands), of three bands 0..255; and which of its pixels
            (H, W) have no data, None if all have some.

        Raises:
            ImageReadError: As for `segment`.
            ValueError: If the model gives labels only.
        """
        path = None if isinstance(image, np.ndarray) else os.fspath(image)
        array, missing = read_bands(image if path is None else path, self.bands, self.value_range, self.nodata)
        array = self._prepare(path, np.ascontiguousarray(array), missing)
        sample = self._test(path, array, network_size=True)
        scores = sample.seg_logits.data if 'seg_logits' in sample else None
        if scores is None or len(scores) != self.num_clusters:
            raise ValueError(f'The model, a {type(self.model).__name__}, gives labels, but no logits of its '
                             f'{self.num_clusters} classes: take a trained segmentor, such as mmseg.EncoderDecoder.')
        return scores, array, missing

    def _predict(self, path: str | None, image: np.ndarray, missing: np.ndarray | None = None) -> np.ndarray:
        """(H, W, bands) to labels (H, W); arrays of three bands hold 0..255 already."""
        image = self._prepare(path, image, missing)
        labels = self._test(path, image).pred_sem_seg.data[0].cpu()
        if self.crf is not None:
            picture = np.ascontiguousarray(preview(image, self.bands, None, missing))
            labels = refine_labels(labels, torch.from_numpy(picture), settings=self.crf,
                                   missing=None if missing is None else torch.from_numpy(missing))
        return labels.numpy()

    def _prepare(self, path: str | None, image: np.ndarray, missing: np.ndarray | None) -> np.ndarray:
        return prepare_bands(image, missing, None if path is None and self.bands == 3 else self._scaled_from)

    @torch.no_grad()
    def _test(self, path: str | None, image: np.ndarray, network_size: bool = False) -> SegDataSample:
        """What the model predicts of (H, W, bands), at the size of the image or of the network's input."""
        data = self._pipeline(dict(img=image, img_path=path or '', img_shape=image.shape[:2],
                                   ori_shape=image.shape[:2]))
        if network_size:
            data['data_samples'].set_metainfo(dict(ori_shape=data['data_samples'].img_shape))
        data = dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
        if network_size:  # stages behind the network, such as a CRF, take the image at its own size
            return self.model.val_step(data)[0]
        return (self.model.test_step(data) if self.stream is None else predict(self.stream, data))[0]


def _load(model: nn.Module, state: dict, title: str) -> None:
    """Load a whole state, or say by which parts model and checkpoint differ.

    Raises:
        MisfitError: If they differ.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:  # torch lists every key
        current = model.state_dict()
        unknown, missing = (shorten(sorted(keys)) for keys in (state.keys() - current.keys(),
                                                               current.keys() - state.keys()))
        shapes = shorten(f'{key} {tuple(value.shape)} (config: {tuple(current[key].shape)})'
                         for key, value in state.items() if key in current and value.shape != current[key].shape)
        parts = [f'{words} {keys}' for words, keys in (('only in the checkpoint:', unknown), ('missing:', missing),
                                                       ('of another size:', shapes)) if keys]
        raise MisfitError(f'{title} does not fit the config, which builds a {type(model).__name__} with a '
                          f'{type(getattr(model, "decode_head", None)).__name__} ({"; ".join(parts)}). Give the config '
                          'that it was made with, or none where the checkpoint carries its own.') from error


def _num_labels(model: nn.Module) -> int:
    if hasattr(model, 'num_labels'):
        return model.num_labels
    return model.decode_head.num_classes


def _loads_by_ours(config: Config) -> bool:
    """Whether the data set's images are loaded, and so scaled, by LoadImage with any number of bands."""
    return any(str(step['type']).rpartition('.')[2] == 'LoadImage' for step in test_pipeline_of(config))


def mark_missing(labels: np.ndarray, missing: np.ndarray | None, num_clusters: int) -> np.ndarray:
    """Give pixels without data the `no_data_label`."""
    if missing is None:
        return labels
    label = no_data_label(num_clusters)
    labels = labels if label <= np.iinfo(labels.dtype).max else labels.astype(np.uint16)
    labels[missing] = label
    return labels


def model_digest(model: nn.Module) -> str:
    """A short fingerprint of a model's numbers."""
    # Stages count by position, as in checkpoints from before they had names, whose output folders stay theirs.
    stages = {name: str(number) for number, name in enumerate(getattr(model, 'postprocessors', ()))}
    digest = hashlib.blake2b(digest_size=12)
    for key, value in model.state_dict().items():
        room, _, rest = key.partition('.')
        name, _, buffer = rest.partition('.')
        if room == 'postprocessors':
            key = f'{room}.{stages[name]}.{buffer}'
        digest.update(key.encode())
        digest.update(value.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()

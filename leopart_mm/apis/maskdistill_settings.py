"""The configs of a run of MaskDistill: one per part, and one that joins them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from leopart_mm.apis.cluster_masks import ClusterSettings
from leopart_mm.apis.image_inputs import ImageList, named_images
from leopart_mm.apis.listed_images import read_image_list
from leopart_mm.apis.pseudo_labels import LabelSettings
from leopart_mm.checkpoints.sources import is_remote
from leopart_mm.datasets.file_lists import find_files
from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES
from leopart_mm.datasets.voc_layout import read_meta
from leopart_mm.datasets.voc_lists import find_list
from leopart_mm.engine.cli import check_packages
from leopart_mm.engine.config import load_config
from leopart_mm.files import printable, shorten
from leopart_mm.masks.crf import CRFSettings
from leopart_mm.masks.merging import LAST_CATEGORY
from leopart_mm.weight_folder import has_weights

PARTS = ('masks', 'clusters', 'detector', 'deeplab')
NETWORK = ('backbone', 'arch', 'checkpoint')  # options of a network that all parts share
# What one stage writes and the next reads.
BETWEEN = dict(detector=('ann_file', 'test_ann_file'), deeplab=('label_folder', ))


@dataclass(frozen=True)
class TruthSettings:
    """Ground truth in a VOC tree: it names clusters and scores what comes out; nothing is trained on it.

    Args:
        class_maps: Folder of class maps below the data root; masks and label maps of training images are scored by it.
        objects: 'SegmentationObject', or 'components' where there are no maps of objects: the connected components of
            each class. They score the detector.
        objects_from: Folder of the class maps of these objects.
        lists: Lists of the images whose objects count, see `find_list`; of one name that several folders have, that of
            ImageSets/Segmentation. The detector predicts these images too.
        boxes: Folder of VOC's XML files by whose boxes clusters are named; None: by the objects.
    """

    class_maps: str = 'SegmentationClass'
    objects: str = 'SegmentationObject'
    objects_from: str = 'SegmentationClass'
    lists: tuple[str, ...] = ('train', 'val')
    boxes: str | None = None

    def list_files(self, root: Path) -> list[Path]:
        """The files of `lists`.

        Raises:
            FileNotFoundError: If there is none of a name.
        """
        return [find_list(root, name, prefer='ImageSets/Segmentation') for name in self.lists]


@dataclass(frozen=True)
class ChainSettings:
    """What ``chain`` of a config says.

    Args:
        masks, clusters, detector, deeplab: Configs of the parts, beside the config of the chain.
        data_root: Root of the data set: a folder of images, or a VOC tree.
        image_folder: Folder of the images below `data_root`.
        num_clusters: Number of classes that masks are clustered into (docs/methods/maskdistill.md §5).
        train_list: List of the images that label maps are made for and DeepLab learns from, below `data_root`; None:
            all images.
        support: Config of the masks of a support set, which are clustered too; None: there is none.
        support_root: Root of its data; needed with `support`.
        rounds: How often the label maps are made again by DeepLab and a CRF, and DeepLab is trained on them (§9).
        label_maps: Of `LabelSettings`.
        crf: Of `CRFSettings`; None: labels of DeepLab as they are.
        ground_truth: Of `TruthSettings`; None: there is none, so nothing is named or scored.
    """

    masks: str
    clusters: str
    detector: str
    deeplab: str
    data_root: str
    image_folder: str = ''
    num_clusters: int = 20
    train_list: str | None = None
    support: str | None = None
    support_root: str | None = None
    rounds: int = 1
    label_maps: LabelSettings = field(default_factory=LabelSettings)
    crf: CRFSettings | None = field(default_factory=CRFSettings)
    ground_truth: TruthSettings | None = None

    @classmethod
    def from_config(cls, config: Config) -> 'ChainSettings':
        """From a config.

        Raises:
            ValueError: If a key is missing or unknown, or a value out of range.
        """
        if config.get('chain') is None:
            raise ValueError(f'{printable(str(config.filename))} has no chain: this run needs a config such as '
                             'configs/maskdistill/maskdistill_dino-vits16_folder.py.')
        values = config.chain.to_dict()
        for name, kind in (('label_maps', LabelSettings), ('crf', CRFSettings), ('ground_truth', TruthSettings)):
            if values.get(name) is not None:
                values[name] = _of(kind, f'chain.{name}', values[name])
        settings = _of(cls, 'chain', values)
        for name, least in (('num_clusters', 1), ('rounds', 0)):
            value = getattr(settings, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f'chain.{name} must be a whole number of at least {least}, not {value!r}.')
        if (settings.support is None) != (settings.support_root is None):
            raise ValueError('chain.support is the config of the masks of a support set, chain.support_root the root '
                             'of its images: give both, or none.')
        roots = {name: os.fspath(Path(root).expanduser()) for name in ('data_root', 'support_root')
                 if (root := getattr(settings, name)) is not None}
        return replace(settings, **roots)  # in one spelling, by which a path is known in the configs of the parts

    @property
    def root(self) -> Path:
        """Root of the data set."""
        return Path(self.data_root)

    @property
    def images(self) -> Path:
        """Folder of the images."""
        return self.root / self.image_folder

    @property
    def support_images(self) -> Path | None:
        """Folder of the images of the support set."""
        return None if self.support_root is None else Path(self.support_root) / self.image_folder

    def check_folders(self) -> None:
        """Say before anything runs what of the data is missing.

        Raises:
            FileNotFoundError: If a folder does not exist; the message names the options.
        """
        if not self.images.exists():
            raise FileNotFoundError(f'There is no folder of images {printable(self.images)}: --images names the data'
                                    + f', in which {printable(self.image_folder)} is' * bool(self.image_folder) + '.')
        if self.support_images is not None and not self.support_images.is_dir():
            raise FileNotFoundError(
                f'There is no support set {printable(self.support_images)}: --cfg-options support_root=FOLDER names '
                'another, chain.support=None chain.support_root=None leaves it out.')
        truth = self.ground_truth
        for option in () if truth is None else ('class_maps', 'objects', 'objects_from', 'boxes'):
            folder = getattr(truth, option)
            if folder not in (None, 'components') and not (self.root / folder).is_dir():
                cure = ' (components: those of the classes)' if option == 'objects' else ''
                raise FileNotFoundError(
                    f'There is no folder {printable(self.root / folder)} of the ground truth: --cfg-options '
                    f'chain.ground_truth.{option}=NAME names another{cure}, chain.ground_truth=None does without.')

    def train_images(self) -> ImageList:
        """Images that label maps are made for.

        Raises:
            FileNotFoundError: If the folder, the list or an image is missing.
        """
        if self.train_list is None:
            files = find_files(self.images, IMAGE_SUFFIXES)  # no arrays: the networks of the parts read images
            if not files:
                raise FileNotFoundError(f'There is no image in {printable(self.images)} or below it.')
            return named_images(files, self.images)
        listing = self.root / self.train_list
        if not listing.is_file():
            raise FileNotFoundError(f'There is no list {printable(listing)}: --cfg-options chain.train_list=FILE names '
                                    "another one below the data root, such as VOC's own "
                                    'ImageSets/Segmentation/train.txt; chain.train_list=None takes all images.')
        return read_image_list(self.images, listing)


@dataclass(frozen=True)
class ChainConfigs:
    """The configs of a run.

    Args:
        settings: Of the whole.
        parts: Config of each of PARTS, and of 'support' if there is one.
        filename: File of the config of the whole.
    """

    settings: ChainSettings
    parts: Mapping[str, Config]
    filename: str

    @property
    def num_categories(self) -> int:
        """Number of categories of the clustered masks: the named classes, or the clusters."""
        if self.settings.ground_truth is not None:
            return len(read_meta(self.settings.root)['classes']) - 1
        overcluster = (self.parts['clusters'].get('mask_clusters') or {}).get('overcluster', 1)
        return max(round(self.settings.num_clusters * overcluster), 1)

    def check_weights(self) -> None:
        """Say before anything runs which weights are missing, however late they are read.

        Raises:
            FileNotFoundError: If a file of weights does not exist; the message names the option.
        """
        for part, cfg in self.parts.items():
            source = cfg.model.backbone.get('checkpoint')
            if isinstance(source, str) and not is_remote(source) and not has_weights(Path(source).expanduser()):
                random = f'; {part}.checkpoint=None starts from random weights' * (part in ('detector', 'deeplab'))
                raise FileNotFoundError(f'There is no checkpoint file {printable(source)} for the part {part}: '
                                        f'--cfg-options {part}.checkpoint=FILE names yours{random}.')


def load_chain(path: str | os.PathLike, options: Mapping[str, Any] | None = None) -> ChainConfigs:
    """Read the config of a chain and those of its parts, which it names.

    Options whose first name is that of a part (``detector.iterations=400``) are for that part; ``backbone``, ``arch``
    and ``checkpoint`` are for all parts; others are for the chain, whose data and number of clusters reach all parts.
    A support set whose config is that of the masks has its options too.

    Args:
        path: The config file.
        options: Command-line options, see `load_config`.

    Raises:
        FileNotFoundError: If a config does not exist.
        ValueError: If a config is not what it should be, an option is unknown, or label maps cannot hold as many
            categories.
        RuntimeError: If MMDetection is missing.
    """
    own: dict[str, Any] = {}
    given: dict[str, dict[str, Any]] = {part: {} for part in (*PARTS, 'support')}
    for key, value in (options or {}).items():
        part, dot, rest = key.partition('.')
        if dot and part in given:
            given[part][rest] = value
        elif key not in NETWORK:
            own[key] = value
    for key in NETWORK:
        if key in (options or {}):
            given = {part: {key: options[key]} | values for part, values in given.items()}
    config = load_config(path, own)
    settings = ChainSettings.from_config(config)
    images, folder = os.fspath(settings.images), Path(config.filename).parent
    number = ChainConfigs(settings, dict(clusters=load_config(folder / settings.clusters, given['clusters'])),
                          config.filename).num_categories
    if number > LAST_CATEGORY + 1:
        raise ValueError(f'{number} categories are too many: a label map of bytes holds {LAST_CATEGORY + 1} beside '
                         'background and 255, the label that is ignored. Give a smaller num_clusters.')
    if settings.support == settings.masks:
        given['support'] = given['masks'] | given['support']
    follows = dict(masks=dict(data_root=settings.data_root), support=dict(data_root=settings.support_root),
                   clusters=dict(data_root=images, num_clusters=settings.num_clusters),
                   detector=dict(data_root=images, num_classes=number),
                   deeplab=dict(data_root=settings.data_root, num_classes=number + 1))
    files = {part: getattr(settings, part) for part in given if getattr(settings, part) is not None}
    parts = {}
    for part, file in files.items():
        if taken := sorted(given[part].keys() & follows[part].keys()):
            raise ValueError(f'--cfg-options {part}.{taken[0]}: {shorten(follows[part])} of {file} follow from the '
                             'config of the chain: give data_root or num_clusters alone.')
        if written := sorted(given[part].keys() & set(BETWEEN.get(part, ()))):
            raise ValueError(f'--cfg-options {part}.{written[0]}: the run itself writes what is read there. To begin '
                             'with files of your own, use the tools of the parts (configs/maskdistill/README.md).')
        parts[part] = load_config(folder / file, follows[part] | given[part])
    check_packages(parts['detector'])
    ClusterSettings.from_config(parts['clusters'])  # its errors now, not behind the masks
    return ChainConfigs(settings, parts, config.filename)


def _of(kind: type, name: str, values: Mapping[str, Any]) -> Any:
    known = {item.name: item for item in fields(kind)}
    if unknown := sorted(set(values) - set(known)):
        raise ValueError(f'{name} has no {", ".join(unknown)}; there are: {", ".join(known)}.')
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
    except TypeError as error:
        raise ValueError(f'{name}: {error}.') from error

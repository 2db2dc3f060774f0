"""Images with the label maps that a run of ours wrote for them: what MaskDistill's DeepLab trains on."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmseg.utils import get_classes, get_palette

from leopart_mm.datasets.file_lists import find_files, read_lines
from leopart_mm.datasets.image_names import image_names
from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES
from leopart_mm.datasets.object_boxes import ImageMatcher
from leopart_mm.datasets.paired_folders import PairedFolders
from leopart_mm.datasets.skipping import SkipsUnreadable
from leopart_mm.files import printable, shorten
from leopart_mm.palette import pascal_colours
from leopart_mm.registry import DATASETS

LABELS, LIST = 'labels', 'images.txt'  # as tools/generate_pseudo_labels.py and tools/label_images.py write them
SUFFIX = '.png'
MOST_LABELS = 255


@DATASETS.register_module()
class LabelledImages(SkipsUnreadable, PairedFolders):
    """The images of a folder that have a label map in ``<labels>/labels`` (docs/methods/maskdistill.md §7, §8).

    ::

        data_root                       labels
        ├── a.jpg                       ├── images.txt       a, and sub/b: the images that have a map
        └── sub/b.png                   └── labels/{a.png,sub/b.png}

    Images on the list without a map are left out, and counted. A map of another size than its image is resized to it
    (nearest); one with an id that is no class is an error.

    Args:
        data_root: Folder of the images, with sub-folders; or one above, see `data_prefix`.
        labels: Folder that `tools/generate_pseudo_labels.py` or `tools/label_images.py` wrote. Without ``images.txt``
            all maps in ``labels`` are taken.
        data_prefix: ``dict(img_path=...)``, the folder of the images below `data_root`, such as VOC's JPEGImages.
            Where there is no such folder, `data_root` holds the images itself.
        num_classes: Number of labels, background included; the ids of the maps are below.
        names: Data set of mmseg whose class names and colours are used if it has `num_classes` classes, such as
            'pascal_voc'; by default labels are called ``background`` and ``cluster 1`` and so on.
        on_corrupt: ``'skip'`` (default) or ``'raise'``: what becomes of images that cannot be read, see
            `SkipsUnreadable`.
        **kwargs: As in PairedFolders (``num_samples``, ``metainfo``, ``pipeline``, ...).

    Raises:
        FileNotFoundError: If a folder or a listed image is missing.
        ValueError: If no listed image has a map, or `num_classes` is impossible.
    """

    CHECK_IDS = True

    def __init__(self, data_root: str, labels: str, data_prefix: dict | None = None, num_classes: int = 21,
                 names: str | None = None, metainfo: dict | None = None, on_corrupt: str = 'skip',
                 **kwargs: Any) -> None:
        if not 1 < num_classes <= MOST_LABELS:
            raise ValueError(f'LabelledImages: num_classes={num_classes} must be 2 to {MOST_LABELS}, background '
                             'included: 255 is the label that is ignored.')
        self.check_options(data_root, on_corrupt)
        self.on_corrupt, self.labels = on_corrupt, Path(labels).expanduser()
        root = Path(data_root).expanduser()
        below = root / (data_prefix or {}).get('img_path', '')
        folders = dict(img_path=below if below.is_dir() else root, seg_map_path=self.labels / LABELS)
        listing = self.labels / LIST
        super().__init__(
            data_root=data_root, data_prefix={key: str(folder.absolute()) for key, folder in folders.items()},
            ann_file=str(listing.absolute()) if listing.is_file() else '', seg_map_suffix=SUFFIX,
            metainfo=_names_of(num_classes, names) | (metainfo or {}),
            hint='Label maps are written by tools/generate_pseudo_labels.py and tools/label_images.py: --cfg-options '
            'label_folder=DIR names their folder.', **kwargs)

    def load_data_list(self) -> list[dict]:
        """One dict per image with a map, in the order of the list."""
        samples = super().load_data_list()
        for sample in samples:
            sample.update(fit_mask=True, ids_cure='are there more categories than the model has classes? --cfg-options '
                          'num_classes=K sets their number, background included.')
        return samples

    def _names(self, masks: Path) -> list[str]:
        if not self.ann_file:
            return super()._names(masks)
        names = read_lines(self.ann_file)
        there = [(masks / (name + SUFFIX)).is_file() for name in names]
        without = [name for name, found in zip(names, there, strict=True) if not found]
        if len(without) == len(names):
            raise ValueError(f'None of the {len(names)} images of {printable(self.ann_file)} has a map in '
                             f'{printable(masks)}. {self.hint}')
        if without:
            print_log(f'{len(without)} of the {len(names)} images of {printable(self.ann_file)} have no label map in '
                      f'{printable(masks)} and are left out: {shorten(map(printable, without))}.', logger='current',
                      level=logging.WARNING)
        return [name for name, found in zip(names, there, strict=True) if found]

    def _finder(self, images: Path) -> Callable[[str], Path]:
        paths = find_files(images, IMAGE_SUFFIXES)
        files = dict(zip(image_names(paths, str(images)), paths, strict=True))
        matcher = ImageMatcher(os.path.relpath(path, images) for path in paths)

        def find(name: str) -> Path:
            return Path(files.get(name) or images / (matcher.find(name) or name))

        return find


def _names_of(num_classes: int, source: str | None) -> dict[str, Sequence]:
    if source is not None and len(get_classes(source)) == num_classes:
        return dict(classes=list(get_classes(source)), palette=[list(colour) for colour in get_palette(source)])
    clusters = [f'cluster {number}' for number in range(1, num_classes)]
    return dict(classes=['background', *clusters], palette=pascal_colours(num_classes).tolist())

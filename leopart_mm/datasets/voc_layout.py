"""Any data set that lies on disk as Pascal VOC's segmentation data do."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmseg.datasets import BaseSegDataset
from mmseg.utils import get_classes, get_palette

from leopart_mm.datasets.file_lists import (
    check_complete,
    find_files,
    others_in,
    plain_voc,
    read_lines,
    readings,
    say_what_counts,
)
from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES
from leopart_mm.datasets.mask_reading import warn_of_odd_masks
from leopart_mm.datasets.readers import with_our_readers
from leopart_mm.datasets.skipping import ON_CORRUPT, SkipsUnreadable
from leopart_mm.datasets.subset import take_subset
from leopart_mm.datasets.value_range import HasValueRange, Range
from leopart_mm.datasets.voc_lists import find_list
from leopart_mm.files import printable, shorten
from leopart_mm.registry import DATASETS


@DATASETS.register_module()
class VOCLayoutDataset(HasValueRange, SkipsUnreadable, BaseSegDataset):
    """Images, class masks and id lists in Pascal VOC's folders.

    ::

        data_root
        ├── JPEGImages/2007_000032.jpg
        ├── SegmentationClass/2007_000032.png      value = class index
        ├── ImageSets/Segmentation/val.txt         2007_000032, one id per line
        └── meta.json                              optional: classes, palette, ignore_index

    Class names and colours come from `metainfo`, else from ``meta.json``
    (``{"classes": [...], "palette": [...], "ignore_index": 255}``), else they are VOC's 21. A line of a list may also
    be a path, or image and mask as in DeepLab's lists (``/JPEGImages/a.jpg /SegmentationClassAug/a.png``).

    Args:
        data_root: The folder with the parts above.
        split: Name(s) of the list(s): ``'val'``, ``'trainaug'``, or several that are joined: ``('train', 'val')``. The
            metainfo ``split`` of a sample says from which it comes. Lists of ImageSets/Main (VOC's detection layout)
            are found where ImageSets/Segmentation has none of this name, or as ``'Main/trainval'``.
        ann_file: A list file instead of `split`, relative to `data_root`.
        data_prefix: Folders of images and masks, relative to `data_root`. ``seg_map_path=None``: there are no masks.
        img_suffix: None takes any type of image that exists; else e.g. ``'.jpg'``.
        metainfo: Class names (and palette); a part of the known classes is mapped, the others are ignored.
        num_samples: Maximum number of samples.
        subset_seed: None takes the first `num_samples` samples, a number a random choice.
        ignore_index: None takes the one of ``meta.json``, or 255.
        on_corrupt: What happens to an image that cannot be read: ``'skip'`` (default without masks; the next one takes
            its place, and it is named) or ``'raise'`` (with masks: a score must not leave images out).
        value_range: (low, high) that become 0 and 255 in images of more than 8 bits; None: measured
            (`measure_value_range`), and shared with the other data sets of a run (`ValueRangeHook`); 'measure':
            measured on these images in any case.
        nodata: Number of missing pixels in such images, beside NaN, infinity and GDAL's tag.
        pipeline: Transforms; ``LoadImageFromFile`` and ``LoadAnnotations`` read as `LoadImage` and `LoadMask` do.
        **kwargs: As in mmseg's BaseSegDataset (``test_mode``, ...).

    Raises:
        FileNotFoundError: If a part is missing; the message names it and what to do.
        ValueError: If ``meta.json`` or the list is unusable, or images with masks are to be skipped.
    """

    def __init__(self,
                 data_root: str,
                 split: str | Sequence[str] = 'val',
                 ann_file: str = '',
                 data_prefix: dict | None = None,
                 img_suffix: str | None = None,
                 seg_map_suffix: str = '.png',
                 metainfo: dict | None = None,
                 num_samples: int | None = None,
                 subset_seed: int | None = None,
                 ignore_index: int | None = None,
                 on_corrupt: str | None = None,
                 value_range: Range | str | None = None,
                 nodata: float | None = None,
                 pipeline: Sequence[dict | Callable] = (),
                 **kwargs: Any) -> None:
        root = Path(data_root).expanduser()
        if not root.is_dir():
            raise FileNotFoundError(f'The data root {root} does not exist. Give the folder that holds JPEGImages, '
                                    'SegmentationClass and ImageSets as --cfg-options data_root=/path/to/it.')
        meta = read_meta(root)
        self.source_classes = meta['classes']
        self.splits = (split, ) if isinstance(split, str) else tuple(split)
        self.num_samples = num_samples
        self.keep_value_range(value_range, nodata)
        self.subset_seed = subset_seed
        prefix = dict(img_path='JPEGImages', seg_map_path='SegmentationClass')
        prefix.update(data_prefix or {})
        self.has_masks = prefix['seg_map_path'] is not None
        if not self.has_masks:
            prefix.pop('seg_map_path')
        if on_corrupt not in (None, *ON_CORRUPT) or (self.has_masks and on_corrupt == 'skip'):
            raise ValueError(f"on_corrupt={on_corrupt!r}: use 'raise', or 'skip' for images without masks "
                             '(data_prefix=dict(seg_map_path=None)).')
        self.on_corrupt = on_corrupt or ('raise' if self.has_masks else 'skip')
        names = dict(classes=meta['classes'], palette=meta['palette']) if metainfo is None else dict(metainfo)
        if metainfo is not None and 'palette' not in names:
            names['palette'] = meta['palette']
        super().__init__(ann_file=ann_file, img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, metainfo=names,
                         data_root=str(root), data_prefix=prefix, pipeline=with_our_readers(pipeline),
                         ignore_index=meta['ignore_index'] if ignore_index is None else ignore_index, **kwargs)

    def get_label_map(self, new_classes: Sequence[str] | None = None) -> dict[int, int] | None:
        """Old index -> new index (255 for classes left out), or None where nothing changes."""
        if new_classes is None or list(new_classes) == list(self.source_classes):
            return None
        unknown = set(new_classes) - set(self.source_classes)
        if unknown:
            raise ValueError(f'metainfo names classes that the data set does not have: {", ".join(sorted(unknown))}. '
                             f'It has: {", ".join(self.source_classes)}.')
        new_classes = list(new_classes)
        return {old: new_classes.index(name) if name in new_classes else 255
                for old, name in enumerate(self.source_classes)}

    def load_data_list(self) -> list[dict]:
        """One dict per listed id, in the order of the lists, with image, mask and what mmseg's loading needs."""
        image_dir = Path(self.data_prefix['img_path'])
        mask_dir = Path(self.data_prefix['seg_map_path']) if self.has_masks else None
        for folder, key in ((image_dir, 'img_path'), (mask_dir, 'seg_map_path')):
            if folder is not None and not folder.is_dir():
                raise FileNotFoundError(_missing_folder(folder, key))
        splits = self._read_ids()
        lines = take_subset(list(splits), self.num_samples, self.subset_seed)
        find = self._finder(image_dir)
        samples = []
        for line in lines:
            image, mask = find(line)
            sample = dict(img_path=str(image), label_map=self.label_map, reduce_zero_label=self.reduce_zero_label,
                          seg_fields=[], split=splits[line])
            if mask_dir is not None:
                sample['seg_map_path'] = str(mask)
            samples.append(sample)
        cure = 'Add them, or take their ids off the list.'
        check_complete([sample['img_path'] for sample in samples], 'images', image_dir, cure)
        if mask_dir is not None:
            masks = [sample['seg_map_path'] for sample in samples]
            check_complete(masks, 'masks', mask_dir, cure)
            warn_of_odd_masks(masks, self.ignore_index)
        chosen = f'that {printable(self.ann_file)} names' if self.ann_file else f'of the split {", ".join(self.splits)}'
        say_what_counts(len(samples), others_in(image_dir, [sample['img_path'] for sample in samples]), image_dir, {},
                        chosen)
        self.measure_range(samples)
        return samples

    def _read_ids(self) -> dict[str, str]:
        """Line of a list, mostly an id -> name of the (first) list that holds it."""
        files = [Path(self.ann_file)] if self.ann_file else [self._list(split) for split in self.splits]
        ids: dict[str, str] = {}  # an id in two lists is one sample
        for file in files:
            if not file.is_file():
                present = sorted(path.stem for path in file.parent.glob('*.txt'))
                hint = f'There are: {shorten(present, 30)}.' if present else f'{file.parent} holds no list at all.'
                raise FileNotFoundError(f'The list of the split, {file}, is missing. {hint} '
                                        'Choose one with split=..., or write this file: one id per line.'
                                        + plain_voc(file))
            for line in read_lines(file):
                ids.setdefault(line, file.stem)
        if not ids:
            raise ValueError(f'The list {", ".join(map(str, files))} names no image.')
        return ids

    def _list(self, split: str) -> Path:
        try:
            return find_list(self.data_root, split, prefer='ImageSets/Segmentation')
        except FileNotFoundError:
            return Path(self.data_root) / 'ImageSets' / 'Segmentation' / f'{split}.txt'  # the caller says what is there

    def _finder(self, image_dir: Path) -> Callable[[str], tuple[Path, Path | None]]:
        """A function from a line of a list to its image and its mask."""
        suffixes = IMAGE_SUFFIXES if self.img_suffix is None else (self.img_suffix.lower(), )
        root, present = Path(self.data_root), {}
        for path in find_files(image_dir, suffixes):
            suffix = self.img_suffix or os.path.splitext(path)[1]
            present[Path(os.path.relpath(path, image_dir)).as_posix()[:-len(suffix)]] = Path(path)

        def find(line: str) -> tuple[Path, Path | None]:
            for name, mask in readings(line):
                stem = _stem(name)
                below = _below(image_dir, root, stem)
                image = present.get(stem) or (present.get(below) if below else None)
                if image is not None:
                    if mask is None:
                        return image, self._mask(stem if stem in present else below)
                    listed = root / mask.lstrip('/')
                    return image, listed if listed.is_file() else self._mask(_stem(mask))
            stem = _stem(line)
            return image_dir / (stem + (self.img_suffix or '.jpg')), self._mask(stem)

        return find

    def _mask(self, stem: str) -> Path | None:
        return Path(self.data_prefix['seg_map_path']) / (stem + self.seg_map_suffix) if self.has_masks else None


def read_meta(root: Path) -> dict:
    """Classes, palette and ignore index of ``root/meta.json``, or VOC's 21 classes where there is no such file.

    Raises:
        ValueError: If the file is no json, has no classes, or its palette has another length.
    """
    file = root / 'meta.json'
    if not file.is_file():
        return dict(classes=list(get_classes('pascal_voc')), palette=get_palette('pascal_voc'), ignore_index=255)
    try:
        content = json.loads(file.read_text(encoding='utf-8-sig'))
        classes = list(content['classes'])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{file} must be json with "classes": [names] (and "palette": [[r, g, b], ...]): '
                         f'{type(error).__name__}: {error}.') from error
    palette = content.get('palette') or []
    if palette and len(palette) != len(classes):
        raise ValueError(f'{file} has {len(classes)} classes but {len(palette)} colours in its palette.')
    return dict(classes=classes, palette=palette, ignore_index=content.get('ignore_index', 255))


def _stem(name: str) -> str:
    return str(Path(name).with_suffix('')) if Path(name).suffix.lower() in IMAGE_SUFFIXES else name


def _below(image_dir: Path, root: Path, stem: str) -> str | None:
    """A path below `root` (``/JPEGImages/a``) or an absolute one as a path below the image folder."""
    for start in (root / stem.lstrip('/'), Path(stem)):
        if start.is_relative_to(image_dir):
            return start.relative_to(image_dir).as_posix()
    return None


def _missing_folder(folder: Path, key: str) -> str:
    present = sorted(path.name for path in folder.parent.iterdir() if path.is_dir()) if folder.parent.is_dir() else []
    return (f'The folder {printable(folder)} is missing. {printable(folder.parent)} holds: '
            f'{shorten(present, 30) or "no folder"}. '
            f'Name the right one with data_prefix=dict({key}=...)'
            + ('; seg_map_path=None means that there are no masks.' if key == 'seg_map_path' else '.')
            + plain_voc(folder))


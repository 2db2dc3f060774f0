"""Any data set that lies on disk as Pascal VOC's segmentation data do."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmseg.datasets import BaseSegDataset
from mmseg.utils import get_classes, get_palette

from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES
from leopart_mm.datasets.subset import take_subset
from leopart_mm.registry import DATASETS


@DATASETS.register_module()
class VOCLayoutDataset(BaseSegDataset):
    """Images, class masks and id lists in Pascal VOC's folders.

    ``ROOT/JPEGImages/<id>.jpg``, ``ROOT/SegmentationClass/<id>.png`` (value = class index) and
    ``ROOT/ImageSets/Segmentation/<split>.txt`` (one id a line). Class names and colours come from `metainfo`, else from
    ``ROOT/meta.json`` (``{"classes": [...], "palette": [...], "ignore_index": 255}``), else they are VOC's 21.

    Args:
        data_root: The folder with the parts above.
        split: Which list(s): ``'val'``, ``'trainaug'``, or several that are joined: ``('train', 'val')``. Metainfo
            ``split`` of a sample says from which it comes.
        ann_file: A list file instead of `split`, relative to `data_root`.
        data_prefix: Where images and masks lie, relative to `data_root`. ``seg_map_path=None``: no masks.
        img_suffix: None looks at what lies there (any image type); else e.g. ``'.jpg'``.
        metainfo: Class names (and palette); a part of the known classes is mapped, the others are ignored.
        num_samples: Keep at most so many samples.
        subset_seed: None keeps the first ones, a number a random choice.
        ignore_index: None takes the one of ``meta.json``, or 255.
        **kwargs: As in mmseg's BaseSegDataset (``pipeline``, ``test_mode``, ...).

    Raises:
        FileNotFoundError: A part is missing; the message names it and what to do.
        ValueError: ``meta.json`` or the list is unusable.
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
                 **kwargs: Any) -> None:
        root = Path(data_root).expanduser()
        if not root.is_dir():
            raise FileNotFoundError(f'The data root {root} does not exist. Give the folder that holds JPEGImages, '
                                    'SegmentationClass and ImageSets as --cfg-options data_root=/path/to/it.')
        meta = read_meta(root)
        self.source_classes = meta['classes']
        self.splits = (split, ) if isinstance(split, str) else tuple(split)
        self.num_samples = num_samples
        self.subset_seed = subset_seed
        prefix = dict(img_path='JPEGImages', seg_map_path='SegmentationClass')
        prefix.update(data_prefix or {})
        self.has_masks = prefix['seg_map_path'] is not None
        if not self.has_masks:
            prefix.pop('seg_map_path')
        names = dict(classes=meta['classes'], palette=meta['palette']) if metainfo is None else dict(metainfo)
        if metainfo is not None and 'palette' not in names:
            names['palette'] = meta['palette']
        super().__init__(ann_file=ann_file, img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, metainfo=names,
                         data_root=str(root), data_prefix=prefix,
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
        """One dict a listed id, in the order of the lists, each with image, mask and what mmseg's loading needs."""
        image_dir = Path(self.data_prefix['img_path'])
        mask_dir = Path(self.data_prefix['seg_map_path']) if self.has_masks else None
        for folder, key in ((image_dir, 'img_path'), (mask_dir, 'seg_map_path')):
            if folder is not None and not folder.is_dir():
                raise FileNotFoundError(_missing_folder(folder, key))
        splits = self._read_ids()
        ids = take_subset(list(splits), self.num_samples, self.subset_seed)
        images = self._image_files(image_dir, ids)
        samples = []
        for name, image in zip(ids, images, strict=True):
            sample = dict(img_path=str(image), label_map=self.label_map, reduce_zero_label=self.reduce_zero_label,
                          seg_fields=[], split=splits[name])
            if mask_dir is not None:
                sample['seg_map_path'] = str(mask_dir / (_stem(name) + self.seg_map_suffix))
            samples.append(sample)
        _check_files([sample['img_path'] for sample in samples], 'images', image_dir)
        if mask_dir is not None:
            _check_files([sample['seg_map_path'] for sample in samples], 'masks', mask_dir)
        return samples

    def _read_ids(self) -> dict[str, str]:
        """Id -> name of the (first) list that names it."""
        lists = Path(self.data_root) / 'ImageSets' / 'Segmentation'
        files = [Path(self.ann_file)] if self.ann_file else [lists / f'{split}.txt' for split in self.splits]
        ids: dict[str, str] = {}  # an id in two lists is one sample
        for file in files:
            if not file.is_file():
                others = sorted(path.stem for path in file.parent.glob('*.txt'))
                hint = f'There are: {", ".join(others)}.' if others else f'{file.parent} holds no list at all.'
                raise FileNotFoundError(f'The list of the split, {file}, is missing. {hint} '
                                        'Choose one with split=..., or write one id a line into this file.')
            for line in file.read_text().splitlines():
                if line.strip():
                    ids.setdefault(line.strip(), file.stem)
        if not ids:
            raise ValueError(f'The list {", ".join(map(str, files))} names no image.')
        return ids

    def _image_files(self, image_dir: Path, ids: Sequence[str]) -> list[Path]:
        if self.img_suffix is not None:
            return [image_dir / (_stem(name) + self.img_suffix) for name in ids]
        present = {path.relative_to(image_dir).with_suffix('').as_posix(): path
                   for path in sorted(image_dir.rglob('*')) if path.suffix.lower() in IMAGE_SUFFIXES}
        return [present.get(_stem(name), image_dir / f'{_stem(name)}.jpg') for name in ids]


def read_meta(root: Path) -> dict:
    """Classes, palette and ignore index of ``root/meta.json``, or VOC's 21 classes where there is no such file.

    Raises:
        ValueError: The file is no json, has no classes, or its palette has another length.
    """
    file = root / 'meta.json'
    if not file.is_file():
        return dict(classes=list(get_classes('pascal_voc')), palette=get_palette('pascal_voc'), ignore_index=255)
    try:
        content = json.loads(file.read_text())
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


def _missing_folder(folder: Path, key: str) -> str:
    others = sorted(path.name for path in folder.parent.iterdir() if path.is_dir()) if folder.parent.is_dir() else []
    return (f'The folder {folder} is missing. {folder.parent} holds: {", ".join(others) or "no folder"}. '
            f'Name the right one with data_prefix=dict({key}=...)'
            + ('; seg_map_path=None means that there are no masks.' if key == 'seg_map_path' else '.'))


def _check_files(paths: Sequence[str], what: str, folder: Path) -> None:
    missing = [path for path in paths if not Path(path).is_file()]
    if missing:
        names = ', '.join(Path(path).name for path in missing[:5])
        raise FileNotFoundError(f'{len(missing)} of {len(paths)} listed {what} are missing in {folder}: {names}'
                                f'{", ..." if len(missing) > 5 else ""}. Add them, or take their ids off the list.')

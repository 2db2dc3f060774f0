"""Images without labels, wherever they come from: a folder, a list, ImageNet's folders, COCO."""

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES, ImageReadError, read_image
from leopart_mm.datasets.samplers.draw import Draw
from leopart_mm.datasets.subset import take_subset
from leopart_mm.registry import DATASETS


@DATASETS.register_module()
class UnlabelledImages(BaseDataset):
    """Every image below a folder, or those that a list or a COCO json names.

    A sample is ``dict(img_path, sample_idx)``; the pipeline reads it (``leopart_mm.LoadImage``). Nothing is decoded at
    the start but one image. A file that cannot be read is, by `on_corrupt`, an error, or it is skipped: the next index
    that can be read takes its place (always the same one, so runs repeat), and its name and the count are logged once.

    Args:
        data_root: The folder. With ImageNet: the folder that holds the class folders. With COCO: e.g. ``train2017``.
        ann_file: Optional list: a text file with one path a line (relative to `data_root`; a class number behind it, as
            in ImageNet lists, is ignored; ids without suffix, as in VOC lists, are completed) or a COCO json
            (``images[].file_name``). Relative to `data_root` if it is not found as it stands.
        folders: Optional choice of sub-folders of `data_root`: names, or a text file with one a line (ImageNet-100).
        suffixes: What counts as an image, in either case.
        recursive: Look into sub-folders.
        num_samples: Keep at most so many images.
        subset_seed: None keeps the first ones, a number a random choice.
        on_corrupt: ``'skip'`` (default) or ``'raise'``.
        verify: Decode every image once at the start and drop the bad ones then. Slow; off by default.
        pipeline: Transforms.
        serialize_data: As in MMEngine's BaseDataset.
        lazy_init: As in MMEngine's BaseDataset.

    Raises:
        FileNotFoundError: The folder, the list or all files of the list are missing, or the folder holds no image.
        ValueError: No image can be read, or an option has an unknown value.
        ImageReadError: A file cannot be read and ``on_corrupt='raise'``.
    """

    METAINFO = dict(classes=())

    def __init__(self,
                 data_root: str,
                 ann_file: str = '',
                 folders: str | Sequence[str] | None = None,
                 suffixes: Sequence[str] = IMAGE_SUFFIXES,
                 recursive: bool = True,
                 num_samples: int | None = None,
                 subset_seed: int | None = None,
                 on_corrupt: str = 'skip',
                 verify: bool = False,
                 pipeline: Sequence[dict | Callable] = (),
                 serialize_data: bool = True,
                 lazy_init: bool = False) -> None:
        if on_corrupt not in ('skip', 'raise'):
            raise ValueError(f"on_corrupt must be 'skip' or 'raise', not {on_corrupt!r}.")
        if not data_root or not isinstance(data_root, str | os.PathLike):
            raise ValueError('UnlabelledImages needs data_root, the folder with the images; '
                             'give it as --cfg-options data_root=/path/to/images.')
        self.folders = folders
        self.suffixes = tuple(suffix.lower() for suffix in suffixes)
        self.recursive = recursive
        self.num_samples = num_samples
        self.subset_seed = subset_seed
        self.on_corrupt = on_corrupt
        self.verify = verify
        super().__init__(ann_file='', data_root=os.path.expanduser(data_root), pipeline=list(pipeline),
                         data_prefix=dict(), serialize_data=serialize_data, lazy_init=True)
        self.ann_file = os.path.expanduser(ann_file)
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Find the images, and make sure that at least one can be read."""
        if self._fully_initialized:
            return
        super().full_init()
        # One flag an image, in shared memory: data-loader workers and the main process see the same count.
        self.corrupt = torch.zeros(len(self), dtype=torch.uint8).share_memory_()
        for index in range(len(self)):
            if self._readable(index) and not self.verify:
                break
        if self.num_corrupt == len(self):
            raise ValueError(f'None of the {len(self)} images in {self.data_root} can be read; the first is '
                             f'{self.get_data_info(0)["img_path"]}. Are they complete?')

    def load_data_list(self) -> list[dict]:
        """The images as ``dict(img_path=...)``, sorted (a list file keeps its order)."""
        root = Path(self.data_root)
        if not root.is_dir():
            what = 'is a file, not a folder' if root.exists() else 'does not exist'
            raise FileNotFoundError(f'The image folder {root} {what}. '
                                    'Give the folder with your images as --cfg-options data_root=/path/to/images.')
        paths = self._from_list(root) if self.ann_file else self._from_folders(root)
        return [dict(img_path=path) for path in take_subset(paths, self.num_samples, self.subset_seed)]

    def __getitem__(self, idx: int) -> Any:
        """The sample at `idx`, or the next one that can be read."""
        self.full_init()
        for step in range(len(self)):
            index = (int(idx) + step) % len(self)
            if self.corrupt[index]:
                continue
            try:
                data = self.prepare_data(idx.at(index) if isinstance(idx, Draw) else index)
            except ImageReadError as error:
                self._mark_corrupt(index, error)
                continue
            if data is not None:
                return data
            self._mark_corrupt(index, ImageReadError(self.get_data_info(index)['img_path'],
                                                     'the pipeline returned nothing for it'))
        raise ValueError(f'None of the {len(self)} images in {self.data_root} can be read any more.')

    @property
    def num_corrupt(self) -> int:
        """How many files could not be read so far, by all workers together."""
        return int(self.corrupt.sum())

    def corrupt_files(self) -> list[str]:
        """The files that could not be read so far."""
        return [self.get_data_info(int(index))['img_path'] for index in self.corrupt.nonzero()]

    def _readable(self, index: int) -> bool:
        try:
            read_image(self.get_data_info(index)['img_path'])
        except ImageReadError as error:
            self._mark_corrupt(index, error)
            return False
        return True

    def _mark_corrupt(self, index: int, error: ImageReadError) -> None:
        if self.on_corrupt == 'raise':
            raise error
        self.corrupt[index] = 1
        print_log(f'{error} It is skipped ({self.num_corrupt} of {len(self)} files so far); '
                  "on_corrupt='raise' would stop here.", logger='current', level=logging.WARNING)

    def _from_folders(self, root: Path) -> list[str]:
        starts = [root]
        if self.folders is not None:
            names = _read_lines(self._find(self.folders)) if isinstance(self.folders, str) else list(self.folders)
            starts = [root / name for name in names]
            missing = [start.name for start in starts if not start.is_dir()]
            if missing:
                raise FileNotFoundError(f'{len(missing)} of the {len(starts)} chosen folders are not in {root}: '
                                        f'{", ".join(missing[:5])}{", ..." if len(missing) > 5 else ""}.')
        paths = sorted(path for start in starts for path in find_files(start, self.suffixes, self.recursive))
        if not paths:
            raise FileNotFoundError(f'There is no image in {root}{" or below it" if self.recursive else ""}: no file '
                                    f'ends with one of {" ".join(self.suffixes)} (in either case).')
        return paths

    def _from_list(self, root: Path) -> list[str]:
        list_file = self._find(self.ann_file)
        if list_file.suffix == '.json':
            content = json.loads(list_file.read_text())
            if not isinstance(content, dict) or 'images' not in content:
                raise ValueError(f'{list_file} is no COCO json: it has no "images".')
            names = [image['file_name'] for image in content['images']]
        else:
            names = _read_lines(list_file)
        paths = [_existing(root, name, self.suffixes) for name in names]
        missing = [name for name, path in zip(names, paths, strict=True) if path is None]
        if missing:
            message = (f'{len(missing)} of the {len(names)} images that {list_file} names are not in {root}: '
                       f'{", ".join(missing[:5])}{", ..." if len(missing) > 5 else ""}.')
            if self.on_corrupt == 'raise' or len(missing) == len(names):
                raise FileNotFoundError(message)
            print_log(message + ' They are left out.', logger='current', level=logging.WARNING)
        if not names:
            raise FileNotFoundError(f'The list {list_file} is empty.')
        return [path for path in paths if path is not None]

    def _find(self, name: str) -> Path:
        for path in (Path(name), Path(self.data_root) / name):
            if path.is_file():
                return path
        raise FileNotFoundError(f'There is no list file {name}, neither as it stands nor in {self.data_root}.')


def find_files(folder: str | os.PathLike, suffixes: Sequence[str], recursive: bool = True) -> list[str]:
    """Files with one of the (lower-case) suffixes, links followed once, hidden files and folders left out; sorted."""
    found, seen = [], set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link back to a folder above would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if recursive and not name.startswith('.'))
        found += [os.path.join(place, name) for name in files
                  if name.lower().endswith(tuple(suffixes)) and not name.startswith('.')]
    return sorted(found)


def _read_lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def _existing(root: Path, name: str, suffixes: Sequence[str]) -> str | None:
    """The file a line of a list names: as it stands, without a class number behind it, or an id without suffix."""
    without_number = name.rsplit(maxsplit=1)[0] if name.rsplit(maxsplit=1)[-1].isdigit() else name
    for candidate in dict.fromkeys((name, without_number, *(name + suffix for suffix in suffixes))):
        path = root / candidate  # an absolute name stays absolute
        if path.is_file():
            return str(path)
    return None

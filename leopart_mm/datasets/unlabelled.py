"""Images without labels, wherever they come from: a folder, a list, ImageNet's folders, COCO, VOC."""

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mmengine.logging import print_log

from leopart_mm.datasets.file_lists import find_files, others_in, plain_voc, read_lines, readings, say_what_counts
from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES, MORE_FORMATS
from leopart_mm.datasets.skipping import SkipsUnreadable
from leopart_mm.datasets.subset import take_subset
from leopart_mm.datasets.value_range import HasValueRange, Range
from leopart_mm.files import printable, shorten
from leopart_mm.registry import DATASETS


@DATASETS.register_module()
class UnlabelledImages(HasValueRange, SkipsUnreadable):
    """Every image below a folder, or those that a list or a COCO json names.

    Without a list, all images of any tree::

        data_root
        ├── a.jpg
        └── any/depth/b.png

    With ``ann_file='ImageSets/Segmentation/train.txt', data_prefix=dict(img_path='JPEGImages')``, those of a VOC list::

        data_root
        ├── ImageSets/Segmentation/train.txt    2007_000032, one id per line
        └── JPEGImages/2007_000032.jpg

    A sample is ``dict(img_path, sample_idx)``; the pipeline reads it (``leopart_mm.LoadImage``). Only one image is
    decoded at the start. A file that cannot be read is, by `on_corrupt`, an error, or it is skipped: the next index
    that can be read takes its place (always the same one, so that runs repeat), and its name is logged once.

    Args:
        data_root: The folder. With ImageNet: the folder that holds the class folders. With COCO: e.g. ``train2017``.
        ann_file: Optional list: a text file with one path per line (relative to the images; an id without suffix, as
            in VOC's lists, is completed; a class number or a mask behind it, as in ImageNet's and DeepLab's lists, is
            ignored) or a COCO json (``images[].file_name``). Relative to `data_root` if it does not exist as given.
            Several lists are joined, such as VOC2007's trainval and test; each of their images counts once.
        data_prefix: ``dict(img_path=...)``, the folder of the images relative to `data_root`.
        folders: Optional choice of sub-folders: names, or a text file with one name per line (ImageNet-100).
        suffixes: Endings of image files, in lower case; the case of a file's ending does not matter.
        recursive: Whether to search sub-folders.
        num_samples: Maximum number of images.
        subset_seed: None takes the first `num_samples` images, a number a random choice.
        on_corrupt: ``'skip'`` (default) or ``'raise'``.
        verify: Decode every image once at the start and drop the bad ones then. Slow; off by default.
        value_range: (low, high) that become 0 and 255 in images of more than 8 bits; None: measured
            (`measure_value_range`), and shared with the other data sets of a run (`ValueRangeHook`); 'measure':
            measured on these images in any case.
        nodata: Number of missing pixels in such images, beside NaN, infinity and GDAL's tag.
        pipeline: Transforms.
        serialize_data: As in MMEngine's BaseDataset.
        lazy_init: As in MMEngine's BaseDataset.

    Raises:
        FileNotFoundError: If the folder, the list or all files of the list are missing, or the folder holds no image.
        ValueError: If no image can be read, or an option has an unknown value.
        ImageReadError: If a file cannot be read and ``on_corrupt='raise'``.
    """

    METAINFO = dict(classes=())

    def __init__(self,
                 data_root: str,
                 ann_file: str | Sequence[str] = '',
                 data_prefix: dict | None = None,
                 folders: str | Sequence[str] | None = None,
                 suffixes: Sequence[str] = IMAGE_SUFFIXES,
                 recursive: bool = True,
                 num_samples: int | None = None,
                 subset_seed: int | None = None,
                 on_corrupt: str = 'skip',
                 verify: bool = False,
                 value_range: Range | str | None = None,
                 nodata: float | None = None,
                 pipeline: Sequence[dict | Callable] = (),
                 serialize_data: bool = True,
                 lazy_init: bool = False) -> None:
        self.check_options(data_root, on_corrupt)
        self.folders = folders
        self.suffixes = tuple(suffix.lower() for suffix in suffixes)
        self.recursive = recursive
        self.num_samples = num_samples
        self.subset_seed = subset_seed
        self.on_corrupt = on_corrupt
        self.verify = verify
        self.keep_value_range(value_range, nodata)
        self.image_folder = (data_prefix or {}).get('img_path', '')
        super().__init__(ann_file='', data_root=os.path.expanduser(data_root), pipeline=list(pipeline),
                         data_prefix=dict(), serialize_data=serialize_data, lazy_init=True)
        lists = [ann_file] if isinstance(ann_file, str) else ann_file
        self.lists = [os.path.expanduser(name) for name in lists if name]
        if not lazy_init:
            self.full_init()

    def load_data_list(self) -> list[dict]:
        """The images as ``dict(img_path=...)``, sorted (a list file keeps its order)."""
        root = self.existing_folder(self.image_folder)
        paths = self._from_lists(root) if self.lists else self._from_folders(root)
        samples = [dict(img_path=path) for path in take_subset(paths, self.num_samples, self.subset_seed)]
        self.measure_range(samples)
        return samples

    def _from_folders(self, root: Path) -> list[str]:
        starts = [root]
        if self.folders is not None:
            names = read_lines(self._find(self.folders)) if isinstance(self.folders, str) else list(self.folders)
            starts = [root / name for name in names]
            missing = [start.name for start in starts if not start.is_dir()]
            if missing:
                raise FileNotFoundError(f'{len(missing)} of the {len(starts)} chosen folders are not in '
                                        f'{printable(root)}: {shorten(missing)}.')
        files = sorted(path for start in starts for path in find_files(start, recursive=self.recursive))
        paths = [path for path in files if path.lower().endswith(self.suffixes)]
        if not paths:
            raise FileNotFoundError(
                f'There is no image in {printable(root)}{" or below it" if self.recursive else ""}: none of its '
                f'{len(files)} files ends with one of {" ".join(self.suffixes)} (in either case).')
        taken = set(paths)
        say_what_counts(len(paths), (path for path in files if path not in taken), root, MORE_FORMATS)
        return paths

    def _from_lists(self, root: Path) -> list[str]:
        files = [self._find(name) for name in self.lists]
        paths = [path for file in files for path in self._from_list(root, file)]
        found = paths if len(files) == 1 else list(dict.fromkeys(paths))
        say_what_counts(len(found), others_in(root, found), root, {},
                        f'that {", ".join(map(printable, files))} names')
        return found

    def _from_list(self, root: Path, list_file: Path) -> list[str]:
        if list_file.suffix == '.json':
            content = json.loads(list_file.read_text(encoding='utf-8-sig'))
            if not isinstance(content, dict) or 'images' not in content:
                raise ValueError(f'{printable(list_file)} is no COCO json: it has no "images".')
            names = [image['file_name'] for image in content['images']]
        else:
            names = read_lines(list_file)
        if not names:
            raise FileNotFoundError(f'The list {printable(list_file)} is empty.')
        paths = [self._existing(root, name) for name in names]
        missing = [printable(name) for name, path in zip(names, paths, strict=True) if path is None]
        if missing:
            message = (f'{len(missing)} of the {len(names)} images that {printable(list_file)} names are not in '
                       f'{printable(root)}: {shorten(missing)}.')
            if self.on_corrupt == 'raise' or len(missing) == len(names):
                raise FileNotFoundError(message)
            print_log(message + ' They are left out.', logger='current', level=logging.WARNING)
        return [path for path in paths if path is not None]

    def _find(self, name: str) -> Path:
        for path in (Path(name), Path(self.data_root) / name):
            if path.is_file():
                return path
        lists = sorted(path.name for path in (Path(self.data_root) / name).parent.glob('*.txt'))
        hint = f' There are: {shorten(lists, 30)}.' if lists else ''
        raise FileNotFoundError(f'There is no list file {printable(name)}, neither as given nor in '
                                f'{printable(self.data_root)}.{hint}{plain_voc(name)}')

    def _existing(self, root: Path, line: str) -> str | None:
        """The file that a line of a list names, below the image folder or, as DeepLab's lists, below `data_root`."""
        for name, _ in readings(line):
            for candidate in (name, *(name + suffix for suffix in self.suffixes)):
                for path in (root / candidate, Path(self.data_root) / candidate.lstrip('/')):
                    if path.is_file():  # an absolute name stays absolute
                        return str(path)
        return None

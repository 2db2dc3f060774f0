"""Writing predicted label maps as PNG files named after the images."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dist import all_gather_object, is_main_process
from mmengine.logging import print_log

from leopart_mm.datasets.image_reading import image_size, pixels_without_data
from leopart_mm.files import fitting_name, printable, shorten, write_image_whole
from leopart_mm.folder_lock import lock_folder
from leopart_mm.geometry.image_part import Part, part_pixels
from leopart_mm.geometry.patch_grid import upsample_labels
from leopart_mm.written_files import WrittenFiles

ROWS_AT_ONCE = 1024


def unique_names(paths: Sequence[str]) -> list[str]:
    """A file stem for each path: its own stem, with as many folders in front as tell it from the others.

    Images of one folder that differ by their suffix only keep it.

    >>> unique_names(['a/1.jpg', 'b/1.jpg', 'b/2.jpg', 'c/3.jpg', 'c/3.png'])
    ['a_1', 'b_1', '2', 'c_3_jpg', 'c_3_png']
    """
    names: dict[str, str] = {}
    pending = list(dict.fromkeys(paths))
    deepest = max((len(Path(path).parts) for path in pending), default=0)
    for depth in range(1, deepest + 1):
        candidates = {path: _stem(path, depth) for path in pending}
        counts = Counter([*candidates.values(), *names.values()])
        names.update({path: name for path, name in candidates.items() if counts[name] == 1})
        pending = [path for path in pending if path not in names]
    taken = set(names.values())
    for path in pending:
        name = f'{_stem(path, deepest)}_{Path(path).suffix[1:]}'
        while name in taken:  # an image is called just so
            name += '_'
        taken.add(name)
        names[path] = name
    return [fitting_name(names[path], 4) for path in paths]


def _stem(path: str, depth: int) -> str:
    parts = Path(path).with_suffix('').parts[-depth:]
    return '_'.join(part.strip('/\\') for part in parts).strip('_')


def no_data_label(num_labels: int) -> int:
    """The label of pixels without data in a map of K labels: 255, or 65535 where 255 is a label (K > 255)."""
    return 255 if num_labels <= 255 else 65535


def write_labels(path: str | os.PathLike, labels: np.ndarray, num_labels: int) -> None:
    """Write a label map as PNG, in one step.

    Args:
        path: The file.
        labels: (H, W) integers; pixels without data have the `no_data_label`.
        num_labels: K; 8-bit up to 256, else 16-bit. (A map of 256 labels with pixels without data has 16 bits.)

    Raises:
        ValueError: If a label is not in 0..K-1, or K is larger than 65536.
        OSError: If the file cannot be written.
    """
    labels = np.asarray(labels)
    if num_labels > 2**16:
        raise ValueError(f'{num_labels} labels do not fit in a 16-bit PNG.')
    for top in range(0, len(labels), ROWS_AT_ONCE):  # few rows in memory beside the map
        rows = labels[top:top + ROWS_AT_ONCE]
        known = rows[rows != no_data_label(num_labels)] if num_labels < 2**16 else rows
        if known.size and not 0 <= known.min() <= known.max() < num_labels:
            raise ValueError(f'Labels reach from {known.min()} to {known.max()}, but only 0..{num_labels - 1} exist.')
    small = num_labels <= 256 and (not labels.size or labels.max() <= 255)
    write_image_whole(path, labels.astype(np.uint8 if small else np.uint16, copy=False))


def read_labels(path: str | os.PathLike) -> np.ndarray:
    """A label map that `write_labels` wrote, (H, W) uint8 or uint16.

    Raises:
        OSError: If it cannot be read.
    """
    content = np.fromfile(path, np.uint8)
    labels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    if labels is None:
        raise OSError(f'{printable(path)} is no label map, or it is damaged.')
    return labels


class LabelMapWriter:
    """Collects label maps during a run, and gives them their final names when all images are known.

    The maps have the size of the image files, whatever the size at which a metric compares (nearest). Until `finish`
    they lie under hidden names, so that images of one name in different folders, also on different processes, never
    overwrite each other. Maps that an earlier run wrote there are removed before the new ones get their names, also
    those of images that are no more among the images; other files stay.

    Pixels without data (`pixels_without_data`) and those that a crop left out have the `no_data_label`.

    Args:
        folder: Where the maps are written; made if it does not exist.

    Raises:
        FolderInUseError: If another run writes there.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder).expanduser()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(self.folder) if is_main_process() else None
        self.paths: list[str] = []

    def add(self, image_path: str, labels: np.ndarray, num_labels: int, nodata: float | None = None,
            part: Part | None = None) -> None:
        """Write the map of an image.

        Args:
            image_path: The image file.
            labels: (H, W) integers in 0..num_labels-1.
            num_labels: K.
            nodata: Number of missing pixels in the image, beside NaN, infinity and GDAL's tag.
            part: Which part of the image the labels are of (``crop_box`` of `CentreCrop`); None: all of it.
        """
        if not self.paths:  # before hours of work, not after them
            WrittenFiles(self.folder, 'labels').refuse_foreign([f'{Path(image_path).stem}.png'])
        size = image_size(image_path)
        if size is not None and part is not None:
            labels = _in_place(labels, size, part, no_data_label(num_labels))
        elif size is not None and size != labels.shape:
            labels = upsample_labels(torch.from_numpy(labels), size).numpy()
        missing = pixels_without_data(image_path, nodata)
        if missing is not None and missing.shape == labels.shape:
            labels = np.where(missing, no_data_label(num_labels), labels)
        write_labels(self._hidden(image_path), labels, num_labels)
        self.paths.append(image_path)

    def _hidden(self, image_path: str) -> Path:
        return self.folder / f'.{hashlib.blake2b(os.fsencode(image_path), digest_size=12).hexdigest()}.png'

    def finish(self, mapping: np.ndarray | None = None, num_classes: int = 0) -> dict[str, Path]:
        """Give the maps of all processes their names: a collective call, the main process renames.

        Args:
            mapping: (K,) class of every cluster; with it the maps of classes are written to ``classes`` too.
            num_classes: Number of classes.

        Returns:
            Image path -> file, on the main process; empty on the others.
        """
        hidden = {path for path in self.folder.glob('.*.png') if re.fullmatch(r'\.[0-9a-f]{24}\.png', path.name)}
        paths = sorted({path for part in all_gather_object(self.paths) for path in part})
        self.paths = []
        if not is_main_process():
            return {}
        files = {path: self.folder / f'{name}.png' for path, name in zip(paths, unique_names(paths), strict=True)}
        names = [file.name for file in files.values()]
        gone = WrittenFiles(self.folder, 'labels').replace(
            names + ([] if mapping is None else [f'classes/{name}' for name in names]))
        if gone:
            print_log(f'Removed {len(gone)} label maps of an earlier run from {printable(self.folder)}: '
                      f'{shorten(map(printable, gone))}', logger='current')
        for path in hidden - {self._hidden(path) for path in paths}:  # of a run that was killed
            path.unlink()
        for path, file in files.items():
            os.replace(self._hidden(path), file)
            if mapping is not None:
                write_labels(self.folder / 'classes' / file.name, _classes(read_labels(file), mapping, num_classes),
                             num_classes)
        print_log(f'Wrote {len(files)} label maps to {printable(self.folder)}', logger='current')
        return files


def _in_place(labels: np.ndarray, size: tuple[int, int], part: Part, outside: int) -> np.ndarray:
    """(H, W): labels of a part of an image where they belong, `outside` around them."""
    rows, columns = part_pixels(part, size)
    whole = np.full(size, outside, np.int64)
    inner = rows.stop - rows.start, columns.stop - columns.start
    whole[rows, columns] = upsample_labels(torch.from_numpy(np.ascontiguousarray(labels)), inner).numpy()
    return whole


def _classes(labels: np.ndarray, mapping: np.ndarray, num_classes: int) -> np.ndarray:
    """The class of each cluster of a map; pixels without data stay such, and clusters of no class (-1) become such."""
    missing = labels >= len(mapping)
    classes = mapping[np.where(missing, 0, labels)]
    return np.where(missing | (classes < 0), no_data_label(num_classes), classes)

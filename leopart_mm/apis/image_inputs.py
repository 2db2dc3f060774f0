"""What people hand to the inferencer: files, folders, arrays; any number of bands."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from leopart_mm.datasets.band_reading import ARRAY_SUFFIXES
from leopart_mm.datasets.file_lists import find_files
from leopart_mm.datasets.image_names import image_names
from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES
from leopart_mm.files import printable

SUFFIXES = IMAGE_SUFFIXES + ARRAY_SUFFIXES

ImageInput = str | os.PathLike | np.ndarray


@dataclass
class ImageList:
    """Images to segment.

    Args:
        images: Paths and arrays.
        names: One per image, without suffix and unique: the path below the folder (or below what all files share).
        num_skipped: Number of files in folders that are no images.
    """

    images: list[str | np.ndarray] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    num_skipped: int = 0


def list_images(inputs: ImageInput | Sequence[ImageInput]) -> ImageList:
    """Collect images; folders are searched with their sub-folders, other files than images in these are counted.

    What earlier runs wrote is no image, see `without_outputs`.

    Args:
        inputs: A file, a folder, an array (H, W[, C]), or a list of such. ``~`` is the home folder.

    Raises:
        FileNotFoundError: If a file or folder does not exist, or a folder holds no image.
        TypeError: If an entry is neither a path nor an array.
    """
    result = ImageList()
    many = isinstance(inputs, Iterable) and not isinstance(inputs, str | os.PathLike | np.ndarray)
    entries = [entry if isinstance(entry, np.ndarray) else _path(entry) for entry in (inputs if many else [inputs])]
    for entry in entries:
        if isinstance(entry, np.ndarray):
            result.images.append(entry)
        elif os.path.isdir(entry):
            images, skipped = _search(entry)
            result.images += images
            result.num_skipped += skipped
        elif os.path.isfile(entry):
            result.images.append(entry)
        else:
            raise FileNotFoundError(f'There is no image or folder {printable(entry)}.')
    single_folder = not many and isinstance(entries[0], str) and os.path.isdir(entries[0])
    result.names = image_names(result.images, entries[0] if single_folder else None)
    return result


def named_images(paths: Sequence[str], root: str | os.PathLike | None = None) -> ImageList:
    """Files with the names that `list_images` would give them below the folder `root`.

    Args:
        paths: The files.
        root: A folder above all of them, else the deepest such folder is taken.
    """
    above = root is not None and all(
        Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root)) for path in paths)
    return ImageList(list(paths), image_names(paths, os.fspath(root) if above else None))


def _path(entry: object) -> str:
    if not isinstance(entry, str | os.PathLike):
        raise TypeError(f'Images are given as paths or arrays, not as {type(entry).__name__}.')
    return os.path.expanduser(os.fspath(entry))


def _search(folder: str) -> tuple[list[str], int]:
    files = find_files(folder)
    images = [file for file in files if file.lower().endswith(SUFFIXES)]
    if not images:
        raise FileNotFoundError(f'There is no image in {printable(folder)} or below it: none of its {len(files)} files '
                                f'ends with one of {" ".join(SUFFIXES)} (in either case; what this tool wrote does not '
                                'count).')
    return images, len(files) - len(images)


def preview(image: np.ndarray, bands: int, max_side: int | None = None,
            missing: np.ndarray | None = None) -> np.ndarray:
    """An image for pictures, (h, w, 3) uint8 RGB.

    Of more bands the first three are taken, each stretched between its 2nd and 98th percentile.

    Args:
        image: (H, W, bands), see `load_image`.
        bands: Number of bands.
        max_side: Take every n-th pixel, so that the longest side is below twice this number. None: full size.
        missing: (H, W) bool, pixels without data: they are black, and do not count for the percentiles.
    """
    step = 1 if max_side is None else max(max(image.shape[:2]) // max_side, 1)
    image = image[::step, ::step]
    if bands == 3 and image.dtype == np.uint8:
        return image[..., ::-1]
    image = image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)
    image = image.astype(np.float32)
    image[~np.isfinite(image)] = np.nan
    if missing is not None:
        image[missing[::step, ::step]] = np.nan
    if bands == 3:
        image = image[..., ::-1]
    sample = image[::max(len(image) // 512, 1)]
    if np.isnan(sample).all(axis=(0, 1)).any():
        low, high = np.zeros(3), np.ones(3)
    else:
        low, high = np.nanpercentile(sample, (2, 98), axis=(0, 1))
    return np.clip(np.nan_to_num((image - low) / np.maximum(high - low, 1e-6)) * 255, 0, 255).astype(np.uint8)

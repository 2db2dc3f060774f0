"""What people hand to the inferencer: files, folders, arrays; any number of bands."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from leopart_mm.datasets.file_lists import find_files
from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES, ImageReadError, read_image
from leopart_mm.files import printable

ARRAY_SUFFIXES = ('.npy', )
TIFF_SUFFIXES = ('.tif', '.tiff')
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
    result.names = _names(result.images, entries[0] if single_folder else None)
    return result


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


def _names(images: Sequence[str | np.ndarray], root: str | None) -> list[str]:
    """Unique names: without suffix where that is unique, else with it behind _, else the whole file name."""
    paths = [os.path.abspath(image) for image in images if isinstance(image, str)]
    if root is None and paths:
        root = os.path.commonpath([os.path.dirname(path) for path in paths])
    choices = {image: _choices(image, root) for image in images if isinstance(image, str)}
    levels = dict.fromkeys(choices, 0)
    arrays = [f'image_{number}' for number, image in enumerate(images) if isinstance(image, np.ndarray)]
    while True:
        counts = Counter([*arrays, *(choice[levels[image]] for image, choice in choices.items())])
        # All that share a name take the next longer one; a name taken so may be another file's, hence again.
        shared = [image for image, choice in choices.items()
                  if counts[choice[levels[image]]] > 1 and levels[image] + 1 < len(choice)]
        if not shared:
            break
        for image in shared:
            levels[image] += 1
    names, times = [], Counter()
    for number, image in enumerate(images):
        name = f'image_{number}' if isinstance(image, np.ndarray) else choices[image][levels[image]]
        times[name] += 1
        names.append(name if times[name] == 1 else f'{name}_{times[name]}')  # an image that is listed twice
    return names


def _choices(image: str, root: str) -> list[str]:
    path = Path(os.path.relpath(os.path.abspath(image), os.path.abspath(root)))
    stem = path.with_suffix('').as_posix()
    return [stem, f'{stem}_{path.suffix[1:]}', path.as_posix()]


def load_image(image: str | np.ndarray, bands: int = 3, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """An image as (H, W, bands): 8-bit BGR for three bands (as mmcv loads it), else the numbers in the file.

    `.npy` files and TIFFs without compression are memory maps: of a large one only the current tile is read.

    Args:
        image: A file, or an array (H, W), (H, W, C) or (C, H, W); of three bands in BGR order.
        bands: Number of bands that the network takes.
        value_range: (low, high) that become 0 and 255 in files of three bands of more than 8 bits.

    Raises:
        ImageReadError: If the file cannot be read or has another number of bands.
    """
    name = image if isinstance(image, str) else '<array>'
    if isinstance(image, str):
        suffix = os.path.splitext(image)[1].lower()
        if bands == 3 and suffix not in ARRAY_SUFFIXES:
            return read_image(image, value_range=value_range)
        array = _read_array(image, suffix)
    else:
        array = image
    return bands_last(array, bands, name)


def bands_last(array: np.ndarray, bands: int, name: str) -> np.ndarray:
    """(H, W), (H, W, C) or (C, H, W) to a view (H, W, bands); a grey image is repeated over three bands.

    Raises:
        ImageReadError: If the number of bands or axes is another one, or there is no pixel, or no real number.
    """
    if array.dtype.kind not in 'buif' or array.size == 0:
        raise ImageReadError(name, f'it holds {array.dtype} values of shape {array.shape}, no picture')
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim == 3:
        if array.shape[2] == bands:
            return array
        if array.shape[0] == bands:
            return np.moveaxis(array, 0, 2)
        if bands == 3 and array.shape[2] == 1:
            return np.broadcast_to(array, (*array.shape[:2], 3))
        if bands == 3 and array.shape[2] == 4:
            return array[..., :3]
    raise ImageReadError(name, f'its shape is {array.shape}, but the network takes {bands} bands')


def _read_array(path: str, suffix: str) -> np.ndarray:
    if os.path.getsize(path) == 0:
        raise ImageReadError(path, 'the file is empty (0 bytes)')
    try:
        if suffix in ARRAY_SUFFIXES:
            return np.load(path, mmap_mode='r', allow_pickle=False)
        if suffix in TIFF_SUFFIXES:
            return _read_tiff(path)
    except Exception as error:  # the readers raise many kinds
        raise ImageReadError(path, f'damaged, cut off or no image ({error})') from error
    return read_image(path, 'rgb')


def _read_tiff(path: str) -> np.ndarray:
    import tifffile
    try:
        return tifffile.memmap(path, mode='r')
    except ValueError:  # compressed
        return tifffile.imread(path)


def preview(image: np.ndarray, bands: int, max_side: int | None = None) -> np.ndarray:
    """An image for pictures, (h, w, 3) uint8 RGB.

    Of more bands the first three are taken, each stretched between its 2nd and 98th percentile.

    Args:
        image: (H, W, bands), see `load_image`.
        bands: Number of bands.
        max_side: Take every n-th pixel, so that the longest side is below twice this number. None: full size.
    """
    step = 1 if max_side is None else max(max(image.shape[:2]) // max_side, 1)
    image = image[::step, ::step]
    if bands == 3 and image.dtype == np.uint8:
        return image[..., ::-1]
    image = image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)
    image = np.nan_to_num(image.astype(np.float32))
    if bands == 3:
        image = image[..., ::-1]
    low, high = np.percentile(image[::max(len(image) // 512, 1)], (2, 98), axis=(0, 1))
    return np.clip((image - low) / np.maximum(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)

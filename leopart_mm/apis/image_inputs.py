"""What people hand to the inferencer: files, folders, arrays; any number of bands."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from leopart_mm.datasets.file_lists import find_files
from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES, ImageReadError, read_image

ARRAY_SUFFIXES = ('.npy', )
TIFF_SUFFIXES = ('.tif', '.tiff')
SUFFIXES = IMAGE_SUFFIXES + ARRAY_SUFFIXES

ImageInput = str | os.PathLike | np.ndarray


@dataclass
class ImageList:
    """Images to segment.

    Args:
        images: Paths and arrays.
        names: One for each, without suffix and unique: the path below the folder (or below what all files share).
        num_skipped: Files in folders that are no images.
    """

    images: list[str | np.ndarray] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    num_skipped: int = 0


def list_images(inputs: ImageInput | Sequence[ImageInput], exclude: str | os.PathLike | None = None) -> ImageList:
    """Collect images; folders are searched with their sub-folders, other files than images in these are counted.

    Args:
        inputs: A file, a folder, an array (H, W[, C]), or a list of such.
        exclude: A folder that is left out (the output, if it lies among the images).

    Raises:
        FileNotFoundError: No such file or folder, or a folder without images.
        TypeError: Something else than paths and arrays.
    """
    result = ImageList()
    many = isinstance(inputs, Iterable) and not isinstance(inputs, str | os.PathLike | np.ndarray)
    for one in inputs if many else [inputs]:
        if isinstance(one, np.ndarray):
            result.images.append(one)
        elif not isinstance(one, str | os.PathLike):
            raise TypeError(f'Images are given as paths or arrays, not as {type(one).__name__}.')
        elif os.path.isdir(one):
            images, skipped = _search(one, exclude)
            result.images += images
            result.num_skipped += skipped
        elif os.path.isfile(one):
            result.images.append(os.fspath(one))
        else:
            raise FileNotFoundError(f'There is no image or folder {one}.')
    single_folder = not many and not isinstance(inputs, np.ndarray) and os.path.isdir(inputs)
    result.names = _names(result.images, os.fspath(inputs) if single_folder else None)
    return result


def _search(folder: str | os.PathLike, exclude: str | os.PathLike | None) -> tuple[list[str], int]:
    files = find_files(folder, ('', ))
    if exclude is not None:
        inside = os.path.join(os.path.realpath(exclude), '')
        files = [file for file in files if not os.path.realpath(file).startswith(inside)]
    images = [file for file in files if file.lower().endswith(SUFFIXES)]
    if not images:
        raise FileNotFoundError(f'There is no image in {folder} or below it: none of its {len(files)} files ends with '
                                f'one of {" ".join(SUFFIXES)} (in either case).')
    return images, len(files) - len(images)


def _names(images: Sequence[str | np.ndarray], root: str | None) -> list[str]:
    paths = [os.path.abspath(image) for image in images if isinstance(image, str)]
    if root is None and paths:
        root = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = []
    for number, image in enumerate(images):
        names.append(f'image_{number}' if isinstance(image, np.ndarray) else
                     Path(os.path.relpath(os.path.abspath(image), os.path.abspath(root))).with_suffix('').as_posix())
    counts = Counter(names)
    # 'a.jpg' and 'a.png' in one folder keep their suffix; an image that is listed twice is numbered.
    names = [f'{name}_{image.rpartition(".")[2]}' if counts[name] > 1 and isinstance(image, str) else name
             for name, image in zip(names, images, strict=True)]
    counts, seen = Counter(names), Counter()
    for number, name in enumerate(names):
        seen[name] += 1
        if counts[name] > 1 and seen[name] > 1:
            names[number] = f'{name}_{seen[name]}'
    return names


def load_image(image: str | np.ndarray, bands: int = 3) -> np.ndarray:
    """An image as (H, W, bands): 8-bit BGR for three bands (as mmcv loads it), else numbers as they stand.

    `.npy` files and TIFFs without compression are memory maps: of a large one only the tile at work is read.

    Args:
        image: A file, or an array (H, W), (H, W, C) or (C, H, W); of three bands in BGR order.
        bands: How many the network takes.

    Raises:
        ImageReadError: A file that cannot be read, or that has another number of bands.
    """
    name = image if isinstance(image, str) else '<array>'
    if isinstance(image, str):
        suffix = os.path.splitext(image)[1].lower()
        if bands == 3 and suffix not in ARRAY_SUFFIXES:
            return read_image(image)
        array = _read_array(image, suffix)
    else:
        array = image
    return bands_last(array, bands, name)


def bands_last(array: np.ndarray, bands: int, name: str) -> np.ndarray:
    """(H, W), (H, W, C) or (C, H, W) to a view (H, W, bands); a grey image is repeated over three bands.

    Raises:
        ImageReadError: Another number of bands or axes, no pixel, or no real numbers.
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
    """(H, W, 3) uint8 RGB of an image for pictures: of more bands the first three, stretched to 2..98 percent.

    Args:
        image: As `load_image` gives it.
        bands: How many it has.
        max_side: Take every n-th pixel so that the picture is little larger than this. None: full size.
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

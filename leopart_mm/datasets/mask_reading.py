"""One reader for label maps: class ids on the pixels of their image, or an error with the cause and the fix."""

import io
import logging
import os
import warnings
from collections.abc import Sequence

import numpy as np
from mmengine.logging import print_log
from PIL import Image, ImageOps, UnidentifiedImageError

from leopart_mm.datasets.deep_colour import EXIF_ORIENTATION, upright
from leopart_mm.files import printable

CONVERTER = 'tools/dataset_converters/colour_masks.py'
NUM_LOOKED_AT = 64
ORIENTATIONS = ('auto', 'upright', 'sensor')


class MaskError(ValueError):
    """A label map cannot be read, is no label map, or does not belong to its image."""


def read_mask(path: str | os.PathLike) -> np.ndarray:
    """Read a label map as (H, W) uint8 class ids; palettes are not resolved, grey saved as RGB is taken as ids.

    Raises:
        MaskError: If the file is missing or damaged, holds colours, or ids above 255.
    """
    name = printable(path)
    try:
        with open(path, 'rb') as file, warnings.catch_warnings():
            warnings.simplefilter('ignore')
            image = Image.open(io.BytesIO(file.read()))
            image.load()
            mask = np.asarray(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # Pillow's own text for this names the buffer by its address.
        cause = 'it is of no known format' if isinstance(error, UnidentifiedImageError) else error
        raise MaskError(f'The mask {name} cannot be read: {cause}.') from error
    if mask.ndim == 3:
        colours = mask[..., :3] if mask.shape[2] >= 3 else mask[..., :1]
        if (colours != colours[..., :1]).any():
            raise MaskError(f'The mask {name} is a picture with {mask.shape[2]} channels, no label map: convert its '
                            f'colours to class ids with {CONVERTER}.')
        mask = colours[..., 0]
    if mask.dtype.kind not in 'bui' or (mask.size and (mask.min() < 0 or mask.max() > 255)):
        raise MaskError(f'The mask {name} holds values from {mask.min()} to {mask.max()} ({mask.dtype}): class ids '
                        'must be whole numbers from 0 to 255. Give the classes smaller ids.')
    return np.array(mask, np.uint8)


def fit_to_image(mask: np.ndarray, size: tuple[int, int], mask_path: str, image_path: str,
                 orientation: str = 'auto') -> np.ndarray:
    """The mask (h, w), turned upright if its image is turned by its EXIF tag and the mask is not.

    Whether it is not, its shape tells: a mask of the sensor's shape is turned. A photo that is turned by 180 degrees or
    mirrored, or that is square, has the same shape either way. By 'auto' its mask then counts as upright, as most
    annotation tools show photos upright, and a warning (once per folder) says so.

    Args:
        mask: Label map.
        size: (H, W) of the upright image.
        mask_path: File of the mask, for messages.
        image_path: File of the image.
        orientation: How masks lie: 'auto' (as above), 'upright' (never turned) or 'sensor' (turned as the EXIF tag
            says, wherever the shapes allow it).

    Raises:
        MaskError: If the mask has another shape than the image (masks of lower resolution are allowed).
    """
    fits = _same_shape(mask.shape, size)
    if fits and orientation == 'upright':
        return mask
    turned = None if orientation == 'upright' else _turned_as(mask, image_path)
    if turned is not None and _same_shape(turned.shape, size):
        if not fits or orientation == 'sensor':
            if not fits:
                print_log(f'The image {printable(image_path)} is turned by its EXIF tag and its mask lies as the '
                          'sensor: the mask is turned too.', logger='current')
            return turned
        _say_undecided(image_path)
    if not fits:
        raise MaskError(f'The mask {printable(mask_path)} has {mask.shape[0]} x {mask.shape[1]} pixels, its image '
                        f'{printable(image_path)} {size[0]} x {size[1]} (height x width): they do not belong together, '
                        'or one of them was turned or cropped.')
    return mask


_folders_said: set[str] = set()


def _say_undecided(image_path: str) -> None:
    folder = os.path.dirname(image_path)
    if folder in _folders_said:
        return
    _folders_said.add(folder)
    print_log(f'The image {printable(image_path)} is turned by its EXIF tag, and its mask fits turned and unturned: '
              'it is taken as upright, in this and like cases. If masks lie as the sensor, load them by '
              "dict(type='leopart_mm.LoadMask', orientation='sensor'); 'upright' is what is done now, without this "
              'warning.', logger='current', level=logging.WARNING)


def _same_shape(mask: tuple[int, int], image: tuple[int, int]) -> bool:
    """Whether two sizes are one picture at two resolutions, up to the rounding of a side."""
    scale = max(image) / max(mask)
    return all(abs(side * scale - expected) <= max(scale, 1) for side, expected in zip(mask, image, strict=True))


def _turned_as(mask: np.ndarray, image_path: str) -> np.ndarray | None:
    try:
        with Image.open(image_path) as image:
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError):
        return None
    if orientation not in range(2, 9):
        return None
    return np.ascontiguousarray(upright(mask, orientation))


def nearest(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map (h, w) at another size."""
    if mask.shape == tuple(size):
        return mask
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int)
                     for new, old in zip(size, mask.shape, strict=True))
    return mask[rows[:, None], columns]


def warn_of_odd_masks(paths: Sequence[str], ignore_index: int | None) -> None:
    """Warn if masks seem to hold nothing that can be scored: foreground stored as 0/255.

    Masks are looked at, spread evenly over the list, until one holds a class beside 0; at most 64. (`ClusterMetric`
    counts in all that it sees.)
    """
    if not paths or ignore_index is None:
        return
    counts = np.zeros(256, np.int64)
    chosen = sorted({round(position) for position in np.linspace(0, len(paths) - 1, NUM_LOOKED_AT)})
    for index in chosen:
        try:
            counts += np.bincount(read_mask(paths[index]).ravel(), minlength=256)
        except MaskError:
            return  # reading the sample says what is wrong
        if set(np.flatnonzero(counts).tolist()) - {0, ignore_index}:
            return
    if counts[ignore_index]:
        share = counts[ignore_index] / counts.sum()
        print_log(f'The {len(chosen)} masks looked at hold no class but 0, and {share:.0%} of their pixels are '
                  f'{ignore_index}, which is ignored: is this a foreground stored as 0 and 255? It is not scored then. '
                  f'Convert the masks with {CONVERTER} --binary, or set ignore_index.', logger='current',
                  level=logging.WARNING)

"""Colour images of more than 8 bits per channel, which Pillow cuts to bytes or does not know."""

import io
from typing import Any

import cv2
import numpy as np
from PIL import Image

BITS_PER_SAMPLE, EXIF_ORIENTATION, GDAL_NODATA = 258, 274, 42113
SEPARATE = 2  # planes of a TIFF behind each other
SIMPLE = (1, 2)  # TIFF's grey and RGB, whose numbers are the channels
ALPHA = (1, 2)  # TIFF's kinds of extra samples that are opacity
MAX_BANDS = 4
JPEG2000_START = b'\xff\x4f\xff\x51'  # of the image itself, behind what describes it


def is_deep_colour(image: Image.Image) -> bool:
    """Whether an image that Pillow opened, but has not loaded, holds colours of 16 bits, of which it keeps 8."""
    if image.mode not in ('RGB', 'RGBA', 'RGBX', 'LA'):
        return False
    if image.format == 'TIFF':
        return max(image.tag_v2.get(BITS_PER_SAMPLE, (8, ))) > 8
    if image.format == 'JPEG2000':
        return _jpeg2000_bits(image) > 8
    args = image.tile[0].args if image.tile else ()
    return ';16' in args if image.format == 'PNG' else image.format == 'PPM' and args[-1] == 65535


def _jpeg2000_bits(image: Image.Image) -> int:
    """The most bits that a channel has; 0 if the header does not say."""
    position = image.fp.tell()
    image.fp.seek(0)
    content = image.fp.read()
    image.fp.seek(position)
    start = content.find(JPEG2000_START)
    channels = int.from_bytes(content[start + 40:start + 42], 'big')
    depths = content[start + 42:start + 42 + 3 * channels:3]  # less one; the highest bit says that numbers have a sign
    return max((depth % 128 + 1 for depth in depths), default=0) if start >= 0 else 0


def decode_deep(content: bytes, orientation: int = 1) -> tuple[np.ndarray, float | None]:
    """The numbers of a PNG, PPM, JPEG 2000 or TIFF as they are stored, and its nodata value.

    Args:
        content: The file.
        orientation: EXIF's number; that of a TIFF is read from it.

    Returns:
        (H, W) or (H, W, C) upright, of at most four bands, the first three of colours in RGB order, without alpha; and
        the number that GDAL marks as missing, None if there is no such tag.

    Raises:
        ValueError: If it cannot be read.
    """
    if is_tiff(content):
        return _decode_tiff(content)
    return upright(_decode_with_opencv(content)[..., :3], orientation), None


def is_tiff(content: bytes) -> bool:
    """Whether a file begins as a TIFF."""
    return content[:4] in (b'II*\x00', b'MM\x00*', b'II+\x00', b'MM\x00+')


def tiff_nodata(page: Any) -> float | None:
    """The number that GDAL marks as missing in a page of tifffile."""
    tag = page.tags.get(GDAL_NODATA)
    try:
        return None if tag is None else float(str(tag.value).strip('\0 '))
    except ValueError:
        return None


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W[, C]) turned and mirrored as EXIF's orientation (1..8) says.

    >>> upright(np.array([[1, 2], [3, 4]]), 6).tolist()
    [[3, 1], [4, 2]]
    """
    transposed, rows, columns = turns(orientation)
    if transposed:
        array = array.swapaxes(0, 1)
    if rows:
        array = array[::-1]
    return array[:, ::-1] if columns else array


def turns(orientation: int) -> tuple[bool, bool, bool]:
    """What makes an image of EXIF's orientation (1..8) upright: transposed, then rows reversed, columns reversed."""
    return orientation in (5, 6, 7, 8), orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)


def _decode_tiff(content: bytes) -> tuple[np.ndarray, float | None]:
    import tifffile
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages[0]
        if page.samplesperpixel > MAX_BANDS:
            raise ValueError(f'it has {page.samplesperpixel} bands')
        tag = page.tags.get(EXIF_ORIENTATION)
        try:
            array = page.asarray() if page.photometric in SIMPLE else None
        except ValueError:  # a compression that tifffile leaves to imagecodecs, but OpenCV knows
            if page.planarconfig == SEPARATE:
                raise
            array = None
        if array is None:
            array = _decode_with_opencv(content)  # upright
        else:
            array = np.moveaxis(array, 0, 2) if page.axes == 'SYX' else array
            array = upright(array, 1 if tag is None else int(tag.value))
        if array.ndim == 3 and array.shape[2] in (2, 4) and any(kind in ALPHA for kind in page.extrasamples):
            array = array[..., :-1]
        return array, tiff_nodata(page)


def _decode_with_opencv(content: bytes) -> np.ndarray:
    """(H, W) or (H, W, C), the first three bands of colours in RGB order."""
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError('OpenCV cannot decode it')
    return image if image.ndim == 2 or image.shape[2] < 3 else image[..., [2, 1, 0, *range(3, image.shape[2])]]

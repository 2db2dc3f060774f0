"""JPEG files that are handed on encoded, to be decoded on the model's device: which ones, and whether whole."""

import io
import re
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from leopart_mm.datasets.deep_colour import EXIF_ORIENTATION, turns
from leopart_mm.datasets.jpeg_ends import JPEG_END, JPEG_START, PROGRESSIVE

EXIF_MARKER = re.compile(rb'\xff\xe1(?=..Exif\0\0)', re.DOTALL)  # before length and name
COMMENT_MARKER = b'\xff\xfe'


@dataclass(frozen=True)
class EncodedJpeg:
    """A whole JPEG file.

    Args:
        content: The bytes, with EXIF made a comment: some decoders turn images by it, others do not.
        orientation: EXIF's number, 1..8; `upright` says what it means.
        size: (height, width) of the upright image.
    """

    content: bytes
    orientation: int
    size: tuple[int, int]


def whole_jpeg(content: bytes) -> EncodedJpeg | None:
    """A file that any decoder gives the pixels of `decode_image`; None: let `decode_image` see it.

    These are baseline JPEGs of 8 bits, grey or YCbCr, whose data reach to the last block. To know the latter, their
    brightness is decoded at a quarter of the size: half the work of decoding. Where the end of the last block is flat,
    as decoders fill what is missing, and in progressive files, whose detail may be missing anywhere, only all pixels
    tell: left to `decode_image`, which skips the files that it skips without `device_decode`.

    Args:
        content: The bytes of a file of any kind.
    """
    if not content.startswith(JPEG_START) or JPEG_END not in content[-1024:] or PROGRESSIVE in content[:4096]:
        return None
    header = _header(content)
    if header is None:
        return None
    (width, height), orientation = header
    flags = cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_IGNORE_ORIENTATION
    small = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if small is None or _last_block_is_flat(small, height, width):
        return None
    size = (width, height) if turns(orientation)[0] else (height, width)
    return EncodedJpeg(EXIF_MARKER.sub(COMMENT_MARKER, content), orientation, size)


def _header(content: bytes) -> tuple[tuple[int, int], int] | None:
    """(width, height) as stored and EXIF's orientation; None if it is no plain JPEG of one or three components."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # odd EXIF, large images: `decode_image` does not mind either
            with Image.open(io.BytesIO(content)) as image:
                is_plain = (image.format == 'JPEG' and image.mode in ('L', 'RGB') and image.bits == 8
                            and not image.info.get('progressive') and not _holds_rgb(image))
                exif = Image.Exif()  # of this tag alone: Pillow's getexif() believes XMP, too, OpenCV does not
                exif.load(image.info.get('exif'))
                orientation = exif.get(EXIF_ORIENTATION, 1)
                return (image.size, orientation if orientation in range(1, 9) else 1) if is_plain else None
    except Exception:  # Pillow raises many kinds
        return None


def _holds_rgb(image: Image.Image) -> bool:
    """Whether the three components are red, green and blue, which not all decoders respect."""
    return image.mode == 'RGB' and ('jfif' not in image.info and (
        image.info.get('adobe_transform') == 0 or [part[0] for part in image.layer] == [*b'RGB']))


def _last_block_is_flat(small: np.ndarray, height: int, width: int) -> bool:
    """Whether the last block of 8 x 8 pixels, of which a quarter of the size has 1 or 2 along each side, is flat."""
    rows, columns = (2 if (side - 1) % 8 >= 4 else 1 for side in (height, width))
    corner = small[-rows:, -columns:]
    return bool((corner == corner[-1, -1]).all())

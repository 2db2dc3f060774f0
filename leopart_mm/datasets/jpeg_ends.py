"""JPEG files whose data end before the image does, although they end like whole ones."""

import hashlib
import io

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

JPEG_START, JPEG_END, PROGRESSIVE = b'\xff\xd8\xff', b'\xff\xd9', b'\xff\xc2'
MORE_DATA = 64 * b'\x5a\xa5\x33\x96'
MOST_KNOWN = 2**20
_whole: set[bytes] = set()  # JPEG files of this process that were looked at, and are whole


def may_end_early(content: bytes, image: np.ndarray) -> bool:
    """Whether the last block is flat, as decoders fill what is missing, or the file is progressive (missing detail)."""
    corner = image[-4:, -4:]
    return bool((corner == corner[-1:, -1:]).all()) or PROGRESSIVE in content[:4096]


def ends_early(content: bytes) -> bool:
    """Whether more data before the end marker would still be used: a whole JPEG ignores them.

    By Pillow, since OpenCV's decoder complains on stderr of data that a whole JPEG ignores.
    """
    digest = hashlib.blake2b(content, digest_size=8).digest()
    if digest in _whole:
        return False
    end = content.rindex(JPEG_END)
    try:
        early = _pixels(content) != _pixels(content[:end] + MORE_DATA + content[end:])
    except Exception:  # Pillow raises many kinds, such as for data that are none
        return True
    if not early and len(_whole) < MOST_KNOWN:
        _whole.add(digest)
    return early


def _pixels(content: bytes) -> bytes:
    with JpegImageFile(io.BytesIO(content)) as image:  # of any size: `Image.open` refuses very large ones
        return image.tobytes()

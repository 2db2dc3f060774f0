"""Decoded and reduced images on disk, which training reads instead of decoding large files again in every epoch."""

import json
import logging
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from leopart_mm.datasets.image_reading import ImageReadError, read_image
from leopart_mm.datasets.transforms.resizing import resize_image
from leopart_mm.datasets.transforms.square import shorter_side
from leopart_mm.files import printable, write_bytes_whole
from leopart_mm.fingerprints import text_fingerprint

VERSION = 1  # of the files


class DecodedImages:
    """Images of three channels of bytes whose shorter side has at most `side` pixels, a file each.

    A file is found by the image file it was made of (its path, size and time of change) and by how that was read; it is
    written in one step, and checked when it is read: one that is damaged is made again, and said. Files of images that
    have changed are no longer found; the folder may be removed at any time.

    Args:
        folder: The folder of the cache; made if it does not exist.
        side: Largest shorter side, in pixels. Larger images are reduced as Pillow does it, anti-aliased.

    Raises:
        ValueError: If `side` is not positive.
    """

    def __init__(self, folder: str | os.PathLike, side: int) -> None:
        if side < 1:
            raise ValueError(f'The side of cached images must be at least 1 pixel, not {side}.')
        self.folder, self.side = Path(folder).expanduser(), int(side)

    def read(self, path: str | os.PathLike, channel_order: str = 'bgr', value_range: tuple[float, float] | None = None,
             nodata: float | None = None) -> np.ndarray:
        """As `read_image`, reduced: (H, W, 3) uint8.

        Raises:
            ImageReadError: If the image file cannot be read; nothing is kept of it.
            OSError: If the cache cannot be written.
        """
        numbers = None if value_range is None else [float(value) for value in value_range]
        settings = [channel_order, numbers, nodata]
        key = json.dumps([VERSION, self.side, settings, *identity(path)])
        name = text_fingerprint(key)
        file = self.folder / name[:2] / name
        image = self._kept(file, key)
        if image is None:
            image = self._reduced(read_image(path, channel_order, value_range, nodata))
            head = json.dumps(dict(key=key, shape=image.shape, crc=zlib.crc32(image))).encode()
            write_bytes_whole(file, head + b'\n' + image.tobytes())
        return image

    def _reduced(self, image: np.ndarray) -> np.ndarray:
        size = image.shape[:2]
        return resize_image(image, shorter_side(size, self.side)) if min(size) > self.side else image

    @staticmethod
    def _kept(file: Path, key: str) -> np.ndarray | None:
        """The image of a file, if it is there and whole."""
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return None
        head, _, pixels = content.partition(b'\n')
        try:
            told: dict[str, Any] = json.loads(head)
            if told['key'] == key and told['crc'] == zlib.crc32(pixels):
                return np.frombuffer(bytearray(pixels), np.uint8).reshape(told['shape'])
        except (ValueError, KeyError, TypeError):
            pass
        print_log(f'The cached image {printable(file)} is damaged, and made again.', logger='current',
                  level=logging.WARNING)
        return None


def identity(path: str | os.PathLike) -> tuple[str, int, int]:
    """Absolute path, size and time of change of a file.

    Raises:
        ImageReadError: If it is missing.
    """
    path = os.path.abspath(path)
    try:
        state = os.stat(path)
    except OSError as error:
        raise ImageReadError(path, error.strerror or type(error).__name__) from error
    return path, state.st_size, state.st_mtime_ns

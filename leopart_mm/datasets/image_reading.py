"""One reader for whatever lies in a folder of pictures: three 8-bit channels, or an error that names the file."""

import contextlib
import importlib
import io
import logging
import os
import warnings
from collections.abc import Iterable
from functools import lru_cache

import cv2
import numpy as np
from mmengine.logging import print_log
from PIL import Image, ImageOps, UnidentifiedImageError

from leopart_mm.datasets.deep_colour import EXIF_ORIENTATION, GDAL_NODATA, decode_deep, is_deep_colour, is_tiff
from leopart_mm.datasets.jpeg_ends import JPEG_END, JPEG_START, ends_early, may_end_early
from leopart_mm.files import printable

# First what is most common: it is tried first where a list names ids. Pillow's readers of films, vector graphics and
# data containers are left out; its plugins (pillow-heif) add theirs.
COMMON_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm', '.gif')
NO_PICTURES = {'BUFR', 'EPS', 'FITS', 'GRIB', 'HDF5', 'IPTC', 'MPEG', 'WMF'}
# Ending -> what makes it readable.
MORE_FORMATS = {
    **dict.fromkeys(('.heic', '.heif', '.hif'), 'pip install pillow-heif'),
    **dict.fromkeys(('.jxl', ), 'pip install pillow-jxl-plugin'),
    **dict.fromkeys(('.dng', '.cr2', '.cr3', '.nef', '.arw', '.orf', '.rw2'),
                    'develop the raw photos to TIFF or JPEG first (e.g. with darktable or rawpy)'),
    **dict.fromkeys(('.dcm', '.nii'), 'convert the slices to PNG or TIFF first (e.g. with pydicom or nibabel)'),
    **dict.fromkeys(('.mp4', '.mov', '.avi', '.mkv'), 'cut the film into frames first (ffmpeg -i film.mp4 %06d.jpg)'),
}
BYTE_SUFFIXES = ('.jpg', '.jpeg', '.jpe', '.jfif', '.webp', '.gif', '.bmp')  # never more than 8 bits
QUANTILES = (0.5, 99.5)  # percent
JPEG2000_FILE = b'\x00\x00\x00\x0cjP  \r\n\x87\n'


def _image_suffixes() -> tuple[str, ...]:
    """Endings of the files that `read_image` reads here, the common ones first."""
    for plugin, start in (('pillow_heif', 'register_heif_opener'), ('pillow_jxl', None)):
        with contextlib.suppress(ImportError):
            module = importlib.import_module(plugin)
            if start is not None:
                getattr(module, start)()
    Image.init()
    readable = sorted(suffix for suffix, name in Image.registered_extensions().items()
                      if name in Image.OPEN and name not in NO_PICTURES)
    return tuple(dict.fromkeys((*COMMON_SUFFIXES, *readable)))


IMAGE_SUFFIXES = _image_suffixes()


class ImageReadError(OSError):
    """An image file is missing, empty, damaged or no image; `path` and `reason` say which and why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f'Cannot read the image {printable(path)}: {reason}.')
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple:  # errors travel from data-loader workers by pickle
        return ImageReadError, (self.path, self.reason)


def read_image(path: str | os.PathLike, channel_order: str = 'bgr', value_range: tuple[float, float] | None = None,
               nodata: float | None = None) -> np.ndarray:
    """Read an image file as (H, W, 3) uint8, upright.

    Grey images are repeated over the channels, palettes resolved, alpha dropped, CMYK converted; numbers other
    than bytes are scaled from `value_range`, see `to_bytes`. EXIF orientation is applied and the
    first frame of an animation is taken. A cut-off file is an error, not a half grey image, even if a program has put
    an end marker behind what it had.

    Args:
        path: The file.
        channel_order: ``'bgr'`` (OpenCV's and mmcv's) or ``'rgb'``.
        value_range: (low, high) of the numbers that become 0 and 255; 8-bit images are never scaled.
        nodata: Number that means a missing pixel, beside NaN, infinity and GDAL's tag; missing pixels become 0.

    Raises:
        ImageReadError: If the file is missing, empty, damaged, cut off or no image.
    """
    return read_with_missing(path, channel_order, value_range, nodata)[0]


def read_with_missing(path: str | os.PathLike, channel_order: str = 'bgr',
                      value_range: tuple[float, float] | None = None,
                      nodata: float | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """As `read_image`, and a bool array (H, W) of the pixels without data; None if all have some.

    A pixel is without data if all its channels are.
    """
    path = os.fspath(path)
    return decode_image(read_content(path), path, channel_order, value_range, nodata)


def read_content(path: str) -> bytes:
    """The bytes of a file.

    Raises:
        ImageReadError: If it is missing or cannot be read.
    """
    try:
        with open(path, 'rb') as file:
            return file.read()
    except OSError as error:
        raise ImageReadError(path, error.strerror or type(error).__name__) from error


def image_size(path: str | os.PathLike) -> tuple[int, int] | None:
    """(height, width) of an image file as `read_image` reads it, from its header; None if that cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with Image.open(path) as image:
                width, height = image.size
                turned = image.getexif().get(EXIF_ORIENTATION, 1) in range(5, 9)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return (width, height) if turned else (height, width)


def pixels_without_data(path: str | os.PathLike, nodata: float | None = None) -> np.ndarray | None:
    """(H, W) bool: pixels of an image file without data; None if all have some, or the file cannot be read.

    Only files that may have such pixels are read: TIFFs, and with `nodata` all but JPEGs.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix in BYTE_SUFFIXES or (nodata is None and suffix not in ('.tif', '.tiff')):
        return None
    with contextlib.suppress(ImageReadError):
        return read_with_missing(path, value_range=(0., 1.), nodata=nodata)[1]
    return None


def decode_image(content: bytes, path: str = '<bytes>', channel_order: str = 'bgr',
                 value_range: tuple[float, float] | None = None,
                 nodata: float | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode the bytes of an image file; as `read_with_missing`. `path` is used in error messages only."""
    if channel_order not in ('bgr', 'rgb'):
        raise ValueError(f"channel_order must be 'bgr' or 'rgb', not {channel_order!r}.")
    if not content:
        raise ImageReadError(path, 'the file is empty (0 bytes)')
    if content.startswith(JPEG_START) and JPEG_END in content[-1024:]:
        # OpenCV is the fastest JPEG decoder here, but it fills a cut-off file with grey: hence the end marker.
        flag = cv2.IMREAD_COLOR if channel_order == 'bgr' else cv2.IMREAD_COLOR_RGB
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
        if image is not None:
            if may_end_early(content, image) and ends_early(content):
                raise ImageReadError(path, 'cut off: its data end before the image does, although the file ends like a '
                                     'whole one')
            return image, None
    array, tag = _decode_with_pillow(content, path)
    valid = valid_pixels(array, [tag, nodata])
    image = to_bytes(array, value_range, valid)
    return image if channel_order == 'rgb' else np.ascontiguousarray(image[..., ::-1]), without_data(valid)


def read_numbers(path: str | os.PathLike) -> tuple[np.ndarray, float | None]:
    """The numbers of an image as they are stored, (H, W) or (H, W, 3), and its nodata value; for value ranges.

    Raises:
        ImageReadError: If `read_image` raises it.
    """
    return _decode_with_pillow(read_content(os.fspath(path)), os.fspath(path))


def _decode_with_pillow(content: bytes, path: str) -> tuple[np.ndarray, float | None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # palette transparency, odd EXIF: harmless
            image = Image.open(io.BytesIO(content))
            _warn_of_pages(image, path)
            deep, orientation = is_deep_colour(image), image.getexif().get(EXIF_ORIENTATION, 1)
            image.load()  # finds out whether it is whole
            if deep:
                return decode_deep(content, orientation)
            tag = _gdal_nodata(image)
            image = ImageOps.exif_transpose(image)
            if image.mode in ('I', 'F') or image.mode.startswith('I;'):
                return np.asarray(image), tag
            # Of a palette the number is an index, which the colours do not show.
            return np.array(image.convert('RGB')), None if image.mode in ('P', 'PA', '1') else tag
    except Image.DecompressionBombError as error:
        raise ImageReadError(path, f'{error}. If the file is trusted, raise PIL.Image.MAX_IMAGE_PIXELS') from error
    except Exception as error:
        pillow_error = error
    if is_tiff(content):  # Pillow does not know some: floating point with three channels, planes of 16 bits
        with contextlib.suppress(Exception):  # tifffile raises many kinds
            return decode_deep(content)
    # Pillow's own text for this names the buffer by its address.
    cause = 'of no known format' if isinstance(pillow_error, UnidentifiedImageError) else pillow_error
    reason = f'damaged, cut off or no image ({cause})'
    if content.startswith(JPEG2000_FILE):  # Pillow knows only some kinds of colour
        reason += '. If GDAL reads it (gdalinfo FILE), gdal_translate FILE a.tif makes a TIFF of it'
    raise ImageReadError(path, reason) from pillow_error


def _gdal_nodata(image: Image.Image) -> float | None:
    """The number that GDAL marks as missing, from its tag."""
    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
        return float(str(image.tag_v2[GDAL_NODATA]).strip('\0 '))
    return None


def _warn_of_pages(image: Image.Image, path: str) -> None:
    """Say once per folder that only the first page of TIFFs is read; overviews of another size are no pages."""
    if image.format != 'TIFF' or getattr(image, 'n_frames', 1) < 2:
        return
    size = image.size
    image.seek(1)
    if image.size == size:
        _say_pages(os.path.dirname(path))  # once per folder
    image.seek(0)


@lru_cache(maxsize=256)
def _say_pages(folder: str) -> None:
    print_log(f'Images in {printable(folder)} have several pages, of which the first is read. To use all, split them '
              'first (ImageMagick: convert a.tif a_%d.tif).', logger='current', level=logging.WARNING)


def valid_pixels(array: np.ndarray, missing: Iterable[float | None]) -> np.ndarray | None:
    """Bool array: False where a number is NaN, infinite or one of `missing`; None if all are valid.

    >>> valid_pixels(np.array([0, 241], np.uint8), [-9999]) is None  # no byte is -9999
    True
    """
    valid = np.isfinite(array) if array.dtype.kind == 'f' else None
    for value in missing:
        if value is None or not np.isfinite(value):
            continue
        if array.dtype.kind == 'f':
            with np.errstate(over='ignore'):
                valid &= array != np.asarray(value).astype(array.dtype)
        elif value == int(value):
            other = array != int(value)
            valid = other if valid is None else valid & other
    return None if valid is None or valid.all() else valid


def without_data(valid: np.ndarray | None) -> np.ndarray | None:
    """(H, W) bool: pixels of which no channel is valid; None if there are none."""
    if valid is None:
        return None
    missing = ~valid if valid.ndim == 2 else ~valid.any(axis=2)
    return missing if missing.any() else None


def own_range(array: np.ndarray, valid: np.ndarray | None = None) -> tuple[float, float]:
    """(low, high) for an image of which no data set is known: by its type, or its numbers where the type says nothing.

    uint16 has its full range (numbers up to 255 are taken as bytes), floating point 0..1 if all but a few numbers lie
    there, everything else the 0.5 and 99.5 percent quantiles.
    """
    values = (array if valid is None else array[valid]).ravel()
    if not values.size:
        return 0., 1.
    if array.dtype == np.uint16 or (array.dtype.kind in 'ui' and values.min() >= 0 and values.max() <= 65535):
        return 0., 255. if values.max() <= 255 else 65535.
    low, high = np.percentile(values[::max(1, values.size // 2**20)], QUANTILES)
    return (0., 1.) if low >= -0.01 and high <= 1.01 and array.dtype.kind == 'f' else (float(low), float(high))


def scale(array: np.ndarray, value_range: tuple[float, float], valid: np.ndarray | None = None) -> np.ndarray:
    """Numbers of any type as 0..255 (float64), by the range that becomes this; those that are not valid become 0."""
    low, high = value_range
    scaled = np.clip((array.astype(np.float64) - low) * (255. / max(high - low, 1e-12)), 0, 255)
    if valid is not None:
        scaled[~valid] = 0
    return scaled


def to_bytes(array: np.ndarray, value_range: tuple[float, float] | None = None,
             valid: np.ndarray | None = None) -> np.ndarray:
    """(H, W) or (H, W, C) of any number type -> (H, W, 3) uint8.

    Args:
        array: The numbers; uint8 is not scaled.
        value_range: (low, high) that become 0 and 255; None: `own_range`.
        valid: Mask of the pixels that are not missing, see `valid_pixels`; the missing ones become 0.

    >>> to_bytes(np.array([[-1000, 0, 1000]], np.int16), (-1000, 1000))[0, :, 0].tolist()
    [0, 128, 255]
    """
    if array.dtype != np.uint8:
        array = np.rint(scale(array, value_range or own_range(array, valid), valid)).astype(np.uint8)
    elif valid is not None:
        array = np.where(valid, array, 0).astype(np.uint8)
    if array.ndim == 2:
        array = array[..., None]
    return np.repeat(array[..., :1], 3, axis=2) if array.shape[2] < 3 else np.ascontiguousarray(array[..., :3])

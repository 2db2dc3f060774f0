"""One reader for whatever lies in a folder of pictures: three 8-bit channels, or an error that names the file."""

import contextlib
import importlib
import io
import os
import warnings

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

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
EXIF_ORIENTATION = 0x0112
JPEG_START, JPEG_END, PROGRESSIVE = b'\xff\xd8\xff', b'\xff\xd9', b'\xff\xc2'


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


def read_image(path: str | os.PathLike, channel_order: str = 'bgr') -> np.ndarray:
    """Read an image file as (H, W, 3) uint8, upright.

    Grey images are repeated over the channels, palettes resolved, alpha dropped, CMYK converted, 16-bit divided by 257,
    floating point scaled (by 255 if it lies in [0, 1], else from its own range); EXIF orientation is applied and the
    first frame of an animation is taken. A cut-off file is an error, not a half grey image, even if a program has put
    an end marker behind what it had.

    Args:
        path: The file.
        channel_order: ``'bgr'`` (OpenCV's and mmcv's) or ``'rgb'``.

    Raises:
        ImageReadError: If the file is missing, empty, damaged, cut off or no image.
    """
    path = os.fspath(path)
    try:
        with open(path, 'rb') as file:
            content = file.read()
    except OSError as error:
        raise ImageReadError(path, error.strerror or type(error).__name__) from error
    return decode_image(content, path, channel_order)


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


def decode_image(content: bytes, path: str = '<bytes>', channel_order: str = 'bgr') -> np.ndarray:
    """Decode the bytes of an image file; as `read_image`. `path` is used in error messages only."""
    if channel_order not in ('bgr', 'rgb'):
        raise ValueError(f"channel_order must be 'bgr' or 'rgb', not {channel_order!r}.")
    if not content:
        raise ImageReadError(path, 'the file is empty (0 bytes)')
    if content.startswith(JPEG_START) and JPEG_END in content[-1024:]:
        # OpenCV is the fastest JPEG decoder here, but it fills a cut-off file with grey: hence the end marker.
        flag = cv2.IMREAD_COLOR if channel_order == 'bgr' else cv2.IMREAD_COLOR_RGB
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
        if image is not None:
            if _may_end_early(content, image) and _ends_early(content, image, flag):
                raise ImageReadError(path, 'cut off: its data end before the image does, although the file ends like a '
                                     'whole one')
            return image
    image = _decode_with_pillow(content, path)
    return image if channel_order == 'rgb' else np.ascontiguousarray(image[..., ::-1])


def _may_end_early(content: bytes, image: np.ndarray) -> bool:
    """Whether the last block is flat, as decoders fill what is missing, or the file is progressive (missing detail)."""
    corner = image[-4:, -4:]
    return bool((corner == corner[-1:, -1:]).all()) or PROGRESSIVE in content[:4096]


def _ends_early(content: bytes, image: np.ndarray, flag: int) -> bool:
    """Whether more data before the end marker would still be used: a whole JPEG ignores them."""
    end = content.rindex(JPEG_END)
    longer = np.frombuffer(content[:end] + 64 * b'\x5a\xa5\x33\x96' + content[end:], np.uint8)
    again = cv2.imdecode(longer, flag)
    return again is None or again.shape != image.shape or bool((again != image).any())


def _decode_with_pillow(content: bytes, path: str) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # palette transparency, odd EXIF: harmless
            image = Image.open(io.BytesIO(content))
            image.load()
            image = ImageOps.exif_transpose(image)
            if image.mode in ('I', 'F') or image.mode.startswith('I;'):
                return _to_three_bytes(np.asarray(image))
            return np.array(image.convert('RGB'))
    except Image.DecompressionBombError as error:
        raise ImageReadError(path, f'{error}. If the file is trusted, raise PIL.Image.MAX_IMAGE_PIXELS') from error
    except Exception as error:
        pillow_error = error
    # Pillow does not know some TIFFs (16-bit RGB, floating point with three channels); OpenCV does.
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if _is_tiff(content) else None
    if image is None:
        # Pillow's own text for this names the buffer by its address.
        cause = 'of no known format' if isinstance(pillow_error, UnidentifiedImageError) else pillow_error
        raise ImageReadError(path, f'damaged, cut off or no image ({cause})') from pillow_error
    return _to_three_bytes(image[..., ::-1] if image.ndim == 3 and image.shape[2] == 3 else image)


def _is_tiff(content: bytes) -> bool:
    return content[:4] in (b'II*\x00', b'MM\x00*', b'II+\x00', b'MM\x00+')


def _to_three_bytes(image: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) of any number type -> (H, W, 3) uint8."""
    if image.dtype != np.uint8:
        if np.issubdtype(image.dtype, np.floating):
            image = np.nan_to_num(image.astype(np.float32))
            low, high = (0., 1.) if image.min() >= 0 and image.max() <= 1 else (image.min(), image.max())
            image = (image - low) * (255. / max(high - low, 1e-12))
        elif image.max(initial=0) > 255:
            image = image / 257.  # 16-bit: 65535 becomes 255
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    if image.ndim == 2:
        image = image[..., None]
    return np.repeat(image[..., :1], 3, axis=2) if image.shape[2] < 3 else np.ascontiguousarray(image[..., :3])

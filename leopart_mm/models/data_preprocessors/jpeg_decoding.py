"""Decoding the JPEG files of a batch, on CUDA all together by nvJPEG."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

import torch
from mmengine.logging import print_log
from torch import Tensor

from leopart_mm.datasets.deep_colour import turns
from leopart_mm.datasets.image_reading import decode_image

SAID: list[str] = []  # why the CPU decodes, once said in this process


def decode_jpegs(contents: Sequence[Tensor], orientations: Sequence[int], sizes: Sequence[Sequence[int]],
                 device: torch.device) -> list[Tensor]:
    """The upright images of JPEG files, in RGB, on `device`.

    On CUDA, nvJPEG decodes them, by torchcodec if it is installed and else by torchvision. Where it cannot, which is
    said once, and on other devices, `decode_image` does it on the CPU: the pixels that workers make.

    Args:
        contents: The bytes of each file, without EXIF (`EncodedJpeg`), (N,) uint8 on the CPU.
        orientations: EXIF's number of each file, 1..8.
        sizes: Upright height and width of each.
        device: Where the images are needed.

    Returns:
        Tensors (H, W, 3) uint8.
    """
    if device.type == 'cuda' and contents:
        try:
            return decode_together(cuda_decoder(), contents, orientations, sizes, device)
        except torch.cuda.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, AttributeError, ImportError) as error:
            _say_fallback(str(error).strip().partition('\n')[0])
    return decode_together(decode_with_opencv, contents, orientations, sizes, device)


def decode_together(decode: Callable[..., list[Tensor]], contents: Sequence[Tensor], orientations: Sequence[int],
                    sizes: Sequence[Sequence[int]], device: torch.device) -> list[Tensor]:
    """As `decode_jpegs`, by one call of a function of (list of bytes, device=...) that gives (3, H, W) as stored.

    Raises:
        RuntimeError: If an image has another size than its header told.
    """
    images = []
    for planes, orientation, size in zip(decode(list(contents), device=device), orientations, sizes, strict=True):
        transposed, rows, columns = turns(orientation)
        planes = planes.transpose(1, 2) if transposed else planes
        dims = [dim for dim, reverse in ((1, rows), (2, columns)) if reverse]
        image = (planes.flip(dims) if dims else planes).permute(1, 2, 0).contiguous()
        if tuple(image.shape) != (*size, 3):
            raise RuntimeError(f'a decoded image is {tuple(image.shape)} instead of {(*size, 3)}')
        images.append(image)
    return images


@lru_cache(maxsize=1)
def cuda_decoder() -> Callable[..., list[Tensor]]:
    """nvJPEG by torchcodec, or by torchvision; for `decode_together`."""
    with contextlib.suppress(ImportError, OSError, RuntimeError):  # none, an old one, or one without its libraries
        from torchcodec.decoders import decode_jpeg
        return partial(decode_jpeg, mode='RGB')
    return decode_with_torchvision


def decode_with_torchvision(contents: list[Tensor], device: torch.device) -> list[Tensor]:
    """torchvision's decoder, without its advice to change to torchcodec: `cuda_decoder` does so by itself."""
    from torchvision.io import ImageReadMode, decode_jpeg
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', '(?s).*deprecated', DeprecationWarning)
        return decode_jpeg(contents, mode=ImageReadMode.RGB, device=device)


def decode_with_opencv(contents: list[Tensor], device: torch.device) -> list[Tensor]:
    """The pixels that workers make, on as many threads as torch has."""

    def decode(content: Tensor) -> Tensor:
        pixels, _ = decode_image(content.numpy().tobytes(), channel_order='rgb')
        return torch.from_numpy(pixels).permute(2, 0, 1).to(device)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # OpenCV lets them run side by side
        return list(pool.map(decode, contents))


def _say_fallback(reason: str) -> None:
    """Say once per process why the CPU decodes."""
    if not SAID:
        SAID.append(reason)
        print_log(f'device_decode=True: the GPU could not decode the JPEG files of a batch ({reason}). Where this '
                  'happens, the CPU decodes them, slower; device_decode=False leaves it to the workers.',
                  logger='current', level=logging.WARNING)

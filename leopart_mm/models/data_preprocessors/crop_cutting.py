"""Cutting all crops of a batch out of decoded images of any sizes, on the images' device.

Bilinear with anti-aliasing as `resize_planes`. On a CPU torch's own kernel does it, crop by crop: the same values.
Other devices multiply by matrices of the same weights, along x and then along y, many images at a time.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from leopart_mm.datasets.transforms.photometric import all_to_device
from leopart_mm.datasets.transforms.resizing import resize_planes

MAX_NUMBERS = 2**26  # of a padded batch: 72 images of 640 x 480


def cut_crops(images: Sequence[Tensor], boxes: Tensor, sides: Sequence[int], flipped: Tensor) -> list[Tensor]:
    """Cut and resize the crops of each image.

    Args:
        images: B tensors (H, W, C), uint8 or float32, on one device.
        boxes: (B, V, 4) int64 x1 y1 x2 y2 in pixels of the images, on the CPU.
        sides: V sides of the resized crops.
        flipped: (B, V) bool, crops that are mirrored, on the CPU.

    Returns:
        V tensors (B, C, S, S) of the images' type.

    Raises:
        ValueError: If the images differ in their number of channels.
    """
    channels = {image.shape[-1] for image in images}
    if len(channels) > 1:
        raise ValueError(f'the images of a batch have {sorted(channels)} channels: load them all with the same number')
    cut = cut_one_by_one if images[0].device.type == 'cpu' else cut_together
    return cut(images, boxes, sides, flipped)


def cut_one_by_one(images: Sequence[Tensor], boxes: Tensor, sides: Sequence[int], flipped: Tensor) -> list[Tensor]:
    """As `cut_crops`, by torch's kernel, which is the fastest on a CPU."""
    crops = _empty_crops(images, sides)
    for b, (image, own_boxes, own_flips) in enumerate(zip(images, boxes.tolist(), flipped.tolist(), strict=True)):
        planes = image.permute(2, 0, 1)
        for crop, side, (x1, y1, x2, y2), flip in zip(crops, sides, own_boxes, own_flips, strict=True):
            resized = resize_planes(planes[:, y1:y2, x1:x2], (side, side))
            crop[b] = resized.flip(2) if flip else resized
    return crops


def cut_together(images: Sequence[Tensor], boxes: Tensor, sides: Sequence[int], flipped: Tensor) -> list[Tensor]:
    """As `cut_crops`, by two products of matrices for many images and all crops of one size.

    Bytes are rounded to whole grey levels behind each product, as torch's kernel does. Crops of bytes on a GPU are
    computed in half precision, which holds all grey levels; the weights are then rounded to 11 bits.
    """
    device, is_bytes = images[0].device, images[0].dtype == torch.uint8
    dtype = torch.float16 if is_bytes and device.type == 'cuda' else torch.float32
    crops = _empty_crops(images, sides)
    for numbers in together([tuple(image.shape) for image in images]):
        columns = _padded_columns([images[number] for number in numbers], dtype)
        for side in sorted(set(sides)):
            views = [v for v, other in enumerate(sides) if other == side]
            chosen = boxes[numbers][:, views].reshape(-1, 4).float()
            flips = flipped[numbers][:, views].reshape(-1).float()
            chosen, flips, places = all_to_device([chosen, flips, torch.tensor(numbers).float()], device)
            along_x = resize_weights(chosen[:, 0], chosen[:, 2], side, columns.shape[1], flips).to(dtype)
            along_y = resize_weights(chosen[:, 1], chosen[:, 3], side, columns.shape[2]).to(dtype)
            made = resample(columns, along_x, along_y, len(views), is_bytes)
            for place, view in enumerate(views):
                crops[view][places.long()] = made[:, place].permute(0, 3, 1, 2).to(images[0].dtype)
    return crops


def together(shapes: Sequence[tuple[int, int, int]], most: int = MAX_NUMBERS) -> Iterator[list[int]]:
    """Numbers of images that are padded to a common size: similar ones, of at most `most` numbers, or a single one."""
    group: list[int] = []
    width = height = 0
    for number in sorted(range(len(shapes)), key=lambda i: (shapes[i][0] * shapes[i][1], i)):
        h, w, channels = shapes[number]
        height, width = max(height, h), max(width, w)
        if group and (len(group) + 1) * height * width * channels > most:
            yield group
            group, (height, width) = [], (h, w)
        group.append(number)
    yield group


def resize_weights(start: Tensor, end: Tensor, side: int, length: int, flips: Tensor | None = None) -> Tensor:
    """Weights of anti-aliased bilinear resizing of an interval of pixels, as torch and Pillow have them.

    A pixel of the result is the mean of those around its centre, weighted by a triangle as wide as two pixels of the
    result, or of the source where the interval is enlarged. Pixels outside of the interval have no weight.

    Args:
        start: (N,) first pixel of each interval.
        end: (N,) pixel behind the last one.
        side: Pixels of the result.
        length: Pixels of the source.
        flips: (N,) 1 where the result is mirrored, else 0.

    Returns:
        (N, side, length) float32; each row sums to 1.
    """
    start, end = start.float()[:, None], end.float()[:, None]
    place = torch.arange(side, device=start.device) + 0.5
    if flips is not None:
        place = torch.lerp(place, side - place, flips.float()[:, None])
    scale = (end - start) / side
    pixel = torch.arange(length, device=start.device)
    distance = (pixel + 0.5 - (start + scale * place)[..., None]).abs()
    weights = (1 - distance / scale.clamp(min=1)[..., None]).clamp(min=0)
    weights *= ((pixel >= start) & (pixel < end))[:, None]
    return weights / weights.sum(-1, keepdim=True)


def resample(columns: Tensor, along_x: Tensor, along_y: Tensor, num_views: int, whole: bool) -> Tensor:
    """Apply the weights of V crops to each image, along x and then along y.

    Args:
        columns: (B, W, H, C).
        along_x: (B * V, S, W).
        along_y: (B * V, S, H).
        num_views: V.
        whole: Round to whole numbers behind each step.

    Returns:
        (B, V, S, S, C).
    """
    size, width, height, channels = columns.shape
    side = along_x.shape[1]
    narrow = torch.bmm(along_x.view(size, num_views * side, width), columns.flatten(2))
    if whole:
        narrow = narrow.add_(0.5).floor_()
    narrow = narrow.view(size * num_views, side, height, channels).transpose(1, 2)
    made = torch.bmm(along_y, narrow.reshape(size * num_views, height, side * channels))
    if whole:
        made = made.add_(0.5).floor_()
    return made.view(size, num_views, side, side, channels)


def _padded_columns(images: list[Tensor], dtype: torch.dtype) -> Tensor:
    """Images (H, W, C) in one tensor (B, W, H, C) of the largest size, 0 beyond each."""
    height, width = (max(image.shape[dim] for image in images) for dim in (0, 1))
    columns = images[0].new_zeros(len(images), width, height, images[0].shape[-1], dtype=dtype)
    for column, image in zip(columns, images, strict=True):
        column[:image.shape[1], :image.shape[0]] = image.transpose(0, 1)
    return columns


def _empty_crops(images: Sequence[Tensor], sides: Sequence[int]) -> list[Tensor]:
    return [images[0].new_empty(len(images), images[0].shape[-1], side, side) for side in sides]

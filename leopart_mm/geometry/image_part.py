"""Which part of an image file a sample shows, after crops."""

Part = tuple[float, float, float, float]
WHOLE: Part = (0., 1., 0., 1.)


def part_within(part: Part, inner: Part) -> Part:
    """The part of the file that `inner` is, which is cut out of `part`; all as shares (top, bottom, left, right).

    >>> part_within((0., 1., 0.25, 0.75), (0., 1., 0.5, 1.))
    (0.0, 1.0, 0.5, 0.75)
    """
    top, bottom, left, right = part
    height, width = bottom - top, right - left
    return (top + inner[0] * height, top + inner[1] * height, left + inner[2] * width, left + inner[3] * width)


def part_pixels(part: Part, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of an image of (H, W) pixels that a part covers, at least a pixel each way.

    >>> part_pixels((0., 1., 0.25, 0.75), (10, 21))
    (slice(0, 10, None), slice(5, 16, None))
    """
    return _pixels(part[0], part[1], size[0]), _pixels(part[2], part[3], size[1])


def _pixels(start: float, stop: float, length: int) -> slice:
    first = min(round(start * length), length - 1)
    return slice(first, max(round(stop * length), first + 1))

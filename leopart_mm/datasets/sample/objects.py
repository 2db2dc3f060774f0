"""The objects of the sample scenes: each class has a few parts, each part a shape and a pattern.

Coordinates are the object's: x to the right, y downwards, about [-1, 1] both. A part's shape is a function that is
positive inside (roughly the distance to its border). A part has a typical hue, but how bright and how saturated it
looks is drawn for every object and scene: patterns and shapes tell the classes apart more surely.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from leopart_mm.datasets.sample import textures

Field = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Part:
    """A part of an object.

    Args:
        name: Name of the part; parts of one name share a label.
        shape: Positive inside the part.
        texture: Pattern, a function of `textures`.
        period: Period of the pattern, 1 is the usual one.
        origin: Centre of the pattern in the object's coordinates.
        hue: Typical hue, 0..1.
    """

    name: str
    shape: Field
    texture: Field
    period: float = 1.
    origin: tuple[float, float] = (0., 0.)
    hue: float = 0.


def box(cx: float, cy: float, half_width: float, half_height: float) -> Field:
    """An upright rectangle."""
    return lambda x, y: np.minimum(half_width - np.abs(x - cx), half_height - np.abs(y - cy))


def ellipse(cx: float, cy: float, rx: float, ry: float) -> Field:
    """An upright ellipse."""
    return lambda x, y: (1 - np.hypot((x - cx) / rx, (y - cy) / ry)) * min(rx, ry)


def triangle(cx: float, top: float, bottom: float, half_width: float) -> Field:
    """Point up at (cx, top), base from cx - half_width to cx + half_width at y = bottom (upside down if below)."""
    height = bottom - top

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        along = (y - top) / height
        return np.minimum((along * half_width - np.abs(x - cx)) * 0.8, (1 - along) * abs(height))

    return field


def tail(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A triangle that opens to the right, from x = 0.4 to 1."""
    return np.minimum(((x - 0.4) / 0.6 * 0.6 - np.abs(y)) * 0.7, 1.0 - x)


def petals(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Six leaves around (0, -0.25)."""
    y = y + 0.25
    return 0.5 + 0.2 * np.cos(6 * np.arctan2(y, x)) - np.hypot(x, y)


# Later parts are painted over earlier ones.
OBJECTS: dict[str, tuple[Part, ...]] = {
    'house': (Part('wall', box(0, 0.35, 0.75, 0.6), textures.bricks, 1.2, hue=0.02),
              Part('roof', triangle(0, -1.0, -0.2, 1.0), textures.zigzag, 1.1, hue=0.55),
              Part('door', box(0.1, 0.6, 0.2, 0.35), textures.plain, hue=0.12)),
    'car': (Part('cabin', box(0, -0.35, 0.55, 0.35), textures.plain, hue=0.62),
            Part('body', box(0, 0.2, 1.0, 0.38), textures.stripes, 0.9, hue=0.85),
            Part('wheel', ellipse(-0.55, 0.6, 0.33, 0.33), textures.rings, 0.9, (-0.55, 0.6), hue=0.3),
            Part('wheel', ellipse(0.55, 0.6, 0.33, 0.33), textures.rings, 0.9, (0.55, 0.6), hue=0.3)),
    'tree': (Part('trunk', box(0, 0.6, 0.2, 0.4), textures.plain, hue=0.07),
             Part('crown', ellipse(0, -0.25, 0.8, 0.72), textures.dots, 1.2, hue=0.36)),
    'fish': (Part('tail', tail, textures.plain, hue=0.75),
             Part('body', ellipse(-0.2, 0, 0.78, 0.55), textures.checks, 1.5, hue=0.17)),
    'flower': (Part('stem', box(0, 0.6, 0.1, 0.4), textures.plain, hue=0.27),
               Part('petals', petals, textures.spokes, 1.0, (0, -0.25), hue=0.92),
               Part('heart', ellipse(0, -0.25, 0.25, 0.25), textures.plain, hue=0.15)),
    'kite': (Part('upper', triangle(0, -1.0, 0.0, 0.75), textures.crosses, 1.4, hue=0.48),
             Part('lower', triangle(0, 1.0, 0.0, 0.75), textures.crosses, 1.4, hue=0.68),
             Part('spar', box(0, 0, 0.06, 0.95), textures.plain, hue=0.0)),
}

BACKGROUND = 'background'
CLASSES = (BACKGROUND, *OBJECTS)
PALETTE = ((0, 0, 0), (230, 80, 60), (70, 120, 230), (60, 170, 80), (240, 180, 40), (190, 80, 200), (60, 200, 200))

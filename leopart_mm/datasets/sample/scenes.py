"""Scenes: a clouded background and a few objects that differ in colours, size, place, rotation and light."""

import colorsys
from typing import NamedTuple

import numpy as np

from leopart_mm.datasets.sample import textures
from leopart_mm.datasets.sample.objects import CLASSES, OBJECTS, Part

PERIOD_PIXELS = 6.5  # usual period of a pattern; the factors of the part and of the object are multiplied to it


class Scene(NamedTuple):
    """An image (S, S, 3) uint8 RGB, its classes (S, S) uint8 and its parts (S, S) uint8 (0 is background in both)."""

    image: np.ndarray
    classes: np.ndarray
    parts: np.ndarray


def part_names() -> list[str]:
    """Names of the values of the part maps: background, then ``class/part`` (equal parts of a class share a name)."""
    names = ['background']
    for class_name, parts in OBJECTS.items():
        for part in parts:
            name = f'{class_name}/{part.name}'
            if name not in names:
                names.append(name)
    return names


def draw_scene(size: int, rng: np.random.Generator, max_objects: int = 4) -> Scene:
    """Draw one square scene of `size` pixels with 2 to `max_objects` objects, later ones in front.

    The classes, places, sizes (0.3 to 0.55 of the side), rotations (up to 25 degrees, half of them mirrored), all
    colours, the light and the noise are random; every number comes from `rng`.

    Raises:
        ValueError: If `size` is less than 32.
    """
    if size < 32:
        raise ValueError(f'A scene needs at least 32 pixels per side, not {size}.')
    image = _background(size, rng)
    classes = np.zeros((size, size), np.uint8)
    parts = np.zeros((size, size), np.uint8)
    centres: list[np.ndarray] = []
    for _ in range(rng.integers(2, max_objects + 1)):
        class_id = int(rng.integers(1, len(CLASSES)))
        centre = _free_place(size, centres, rng)
        centres.append(centre)
        _paint_object(image, classes, parts, class_id, centre, size * rng.uniform(0.15, 0.275), rng)
    return Scene(_light(image, rng), classes, parts)


def _background(size: int, rng: np.random.Generator) -> np.ndarray:
    hue = rng.random()
    first, second = (_colour(hue + rng.normal(0, 0.08), rng.uniform(0.05, 0.35), value)
                     for value in (rng.uniform(0.25, 0.6), rng.uniform(0.6, 1)))
    clouds = textures.noise((size, size), size / rng.uniform(2, 8), rng, octaves=3)[..., None]
    return first + (second - first) * clouds


def _paint_object(image: np.ndarray, classes: np.ndarray, parts: np.ndarray, class_id: int, centre: np.ndarray,
                  radius: float, rng: np.random.Generator) -> None:
    """Paint one object into the three arrays, looking only at the pixels it can reach."""
    size = len(image)
    low = np.clip(np.floor(centre - 1.5 * radius).astype(int), 0, size)
    high = np.clip(np.ceil(centre + 1.5 * radius).astype(int) + 1, 0, size)
    window = np.s_[low[1]:high[1], low[0]:high[0]]
    angle = np.deg2rad(rng.uniform(-25, 25))
    mirror = rng.choice([-1., 1.])
    dy, dx = np.mgrid[low[1]:high[1], low[0]:high[0]].astype(np.float32)
    dx, dy = dx - centre[0], dy - centre[1]
    x = (np.cos(angle) * dx + np.sin(angle) * dy) / radius * mirror
    y = (-np.sin(angle) * dx + np.cos(angle) * dy) / radius
    per_unit = radius / (PERIOD_PIXELS * rng.uniform(0.85, 1.2))  # periods in one unit of the object
    names = part_names()
    class_name = CLASSES[class_id]
    colours = {part.name: _part_colours(part.hue, rng) for part in OBJECTS[class_name]}
    for part in OBJECTS[class_name]:
        inside = np.clip(part.shape(x, y) * radius + 0.5, 0, 1)  # one pixel of soft border
        image[window] += inside[..., None] * (_paint_part(part, x, y, per_unit, colours[part.name]) - image[window])
        hard = inside > 0.5
        classes[window][hard] = class_id
        parts[window][hard] = names.index(f'{class_name}/{part.name}')


def _paint_part(part: Part, x: np.ndarray, y: np.ndarray, per_unit: float,
                colours: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    factor = per_unit / part.period
    amount = part.texture((x - part.origin[0]) * factor, (y - part.origin[1]) * factor)[..., None]
    return colours[0] + (colours[1] - colours[0]) * amount


def _light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A brightness that falls off to one side, a colour cast and sensor noise; to uint8."""
    size = len(image)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0, 0.35) * (np.cos(angle) * ramp[None] + np.sin(angle) * ramp[:, None])
    cast = rng.uniform(0.85, 1.15, 3)
    image = (image * light[..., None] * cast).clip(0, 1) ** rng.uniform(0.7, 1.6) * rng.uniform(0.45, 1.05)
    image = image + rng.normal(0, rng.uniform(0.005, 0.03), image.shape)
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def _part_colours(hue: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A light and a dark tone of about one hue."""
    hue = hue + rng.normal(0, 0.03)
    saturation = rng.uniform(0.4, 0.95)
    light = rng.uniform(0.5, 1)
    return _colour(hue, saturation, light), _colour(hue, saturation, light * rng.uniform(0.2, 0.5))


def _colour(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value))


def _free_place(size: int, occupied: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Of twelve random places the one farthest from the objects painted so far, so that few are hidden."""
    places = rng.uniform(0.17 * size, 0.83 * size, (12, 2))
    if not occupied:
        return places[0]
    distances = np.linalg.norm(places[:, None] - np.array(occupied)[None], axis=-1).min(axis=1)
    return places[distances.argmax()]

"""Two-tone patterns as functions of position; they tell the parts of the sample objects apart.

Each function takes coordinates x, y (arrays of equal shape, in units of the pattern's period) and returns the share of
the second colour, in [0, 1].
"""

import numpy as np

TURN = 2 * np.pi


def plain(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A single colour."""
    return np.zeros_like(x)


def stripes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Parallel bands."""
    return _edge(np.sin(TURN * x))


def checks(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A chess board."""
    return _edge(np.sin(TURN * x) * np.sin(TURN * y) * 1.5)


def dots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Round spots on a hexagonal grid."""
    shifted = x + 0.5 * np.floor(y)
    return _edge(1.6 * (0.36 - np.hypot(_centred(shifted), _centred(y))) / 0.36)


def rings(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Circles around the origin."""
    return _edge(np.sin(TURN * np.hypot(x, y)))


def bricks(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Thin joints between bricks, each row shifted by half a brick."""
    row = np.floor(y)
    along = np.abs(_centred(0.5 * x + 0.5 * row)) * 2  # joints across a row lie at half a brick
    return np.clip(np.maximum(2 * np.abs(_centred(y)) - 0.55, 1.6 * (along - 0.72)) * 6, 0, 1)


def zigzag(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bands that turn back and forth."""
    return _edge(np.sin(TURN * (y + 2 * np.abs(_centred(0.5 * x)))))


def crosses(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Separate plus signs on a square grid."""
    a, b = np.abs(_centred(x)), np.abs(_centred(y))
    return _edge(8 * (0.14 - np.minimum(a, b))) * (np.maximum(a, b) < 0.4)


def spokes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rays from the origin."""
    return _edge(np.sin(9 * np.arctan2(y, x)))


def noise(shape: tuple[int, int], cell: float, rng: np.random.Generator, octaves: int = 2) -> np.ndarray:
    """Smooth random clouds in [0, 1]: bilinear value noise with cells of `cell` pixels, each octave half as large."""
    import cv2
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        side = max(cell / 2**octave, 1)
        grid = rng.random((max(int(shape[0] / side), 1) + 2, max(int(shape[1] / side), 1) + 2), dtype=np.float32)
        total += cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC) / 2**octave
    low, high = total.min(), total.max()
    return (total - low) / max(high - low, 1e-6)


def _edge(wave: np.ndarray) -> np.ndarray:
    """From a wave in [-1, 1] to a pattern with soft edges."""
    return np.clip(0.5 + 2 * wave, 0, 1)


def _centred(x: np.ndarray) -> np.ndarray:
    """Distance to the nearest cell centre with its sign, in [-0.5, 0.5)."""
    return x - np.floor(x) - 0.5

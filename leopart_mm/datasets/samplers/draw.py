"""Randomness as a function of (seed, number of the draw), whatever worker or process makes the sample."""

import zlib
from typing import Any

import numpy as np


class Draw(int):
    """A data set index that knows which draw of the training run it is.

    A sampler hands it out in place of a plain index; MMEngine's data sets put it, unchanged, into
    ``results['sample_idx']``. A transform that takes its generator from there draws the same numbers with any number
    of workers and after a resume, which numpy's global state (a stream per worker, reseeded at each start) cannot give.

    Args:
        index: position in the data set; what the int itself is.
        number: running number of the sample over the whole run and all processes, from 0.
        seed: the sampler's seed.
    """

    number: int
    seed: int

    def __new__(cls, index: int, number: int, seed: int) -> 'Draw':
        self = super().__new__(cls, index)
        self.number = int(number)
        self.seed = int(seed)
        return self

    def __getnewargs__(self) -> tuple[int, int, int]:
        return int(self), self.number, self.seed

    def at(self, index: int) -> 'Draw':
        """The same draw of another image, for a data set that replaces an unreadable one."""
        return Draw(index, self.number, self.seed)

    def generator(self, stream: str) -> np.random.Generator:
        """The generator of this draw for one purpose; different ``stream`` names give independent numbers."""
        return np.random.default_rng((self.seed, zlib.crc32(stream.encode()), self.number))


def sample_generator(results: dict[str, Any], stream: str) -> np.random.Generator:
    """The generator with which a transform draws for this sample.

    From the `Draw` in ``results['sample_idx']`` if the sampler gives one; else seeded from numpy's global state, as
    other mmcv transforms are.
    """
    draw = results.get('sample_idx')
    if isinstance(draw, Draw):
        return draw.generator(stream)
    return np.random.default_rng(np.random.randint(0, 2**32, size=2, dtype=np.uint32))

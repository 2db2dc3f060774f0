"""Randomness as a function of (seed, number of the draw), independent of worker and process."""

import zlib
from typing import Any

import numpy as np


class Draw(int):
    """A data set index with the number of its draw in the training run.

    A sampler yields it instead of a plain index; MMEngine's data sets put it, unchanged, into
    ``results['sample_idx']``. A transform that takes its generator from there draws the same numbers with any number
    of workers and after a resume, which numpy's global state (a stream per worker, reseeded at each start) cannot give.

    Args:
        index: Position in the data set; the value of the int.
        number: Running number of the sample over the whole run and all processes, from 0.
        seed: Seed of the sampler.
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
    """The random generator of a transform for this sample.

    It comes from the `Draw` in ``results['sample_idx']`` if the sampler yields one; else it is seeded from numpy's
    global state, as other mmcv transforms are.
    """
    draw = results.get('sample_idx')
    if isinstance(draw, Draw):
        return draw.generator(stream)
    return np.random.default_rng(np.random.randint(0, 2**32, size=2, dtype=np.uint32))

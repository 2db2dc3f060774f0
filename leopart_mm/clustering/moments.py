"""Exact mean, standard deviation and covariance of features that arrive in batches, in float64."""

import torch
from torch import Tensor

from leopart_mm.devices import in_float64
from leopart_mm.late_checks import LateChecks


class Moments:
    """Count, mean and scatter matrix of all vectors seen, in C x C memory.

    Batches are merged by Chan's pairwise update, so nothing cancels even where the mean is far from 0. They stay on
    the device of the vectors, where the host waits for nothing before the moments are asked for.

    Attributes: `count` (int), `mean` (C,) and `scatter` (C, C), the sum of the centred outer products, float64.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | None = None
        self.scatter: Tensor | None = None
        self._checks = LateChecks()

    def update(self, features: Tensor, name: str = '') -> None:
        """Add vectors (n, C) of any float type; n may be 0.

        Args:
            features: The vectors.
            name: Where they come from, for messages.

        Raises:
            ValueError: If a vector is not finite (on a GPU when the moments are asked for), or its width C differs from
                that of earlier vectors.
        """
        features = in_float64(features.detach())
        if features.device.type != 'cpu' or not torch.isfinite(features).all():
            count, where = len(features), f'{name}: ' if name else ''
            self._checks.add(
                (~torch.isfinite(features).all(dim=1)).sum(),
                lambda bad: f'{where}{bad} of {count} feature vectors hold NaN or infinity: check the checkpoint '
                            '(diverged training?) and mixed precision of the backbone.')
        if not len(features):
            return
        mean = features.mean(dim=0)
        centred = features - mean
        self._merge(len(features), mean, gram(centred))

    def merge(self, other: 'Moments') -> None:
        """Add the vectors that `other` saw."""
        other._checks.finish()
        if other.count:
            self._merge(other.count, other.mean, other.scatter)

    def _merge(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        if self.mean is None:
            self.count, self.mean, self.scatter = count, mean.clone(), scatter.clone()
            return
        if mean.shape != self.mean.shape:
            raise ValueError(f'Features have {mean.numel()} channels, earlier ones had {self.mean.numel()}.')
        total = self.count + count
        shift = mean - self.mean
        self.scatter += scatter + torch.outer(shift, shift) * (self.count * count / total)
        self.mean += shift * (count / total)
        self.count = total

    def state(self) -> dict:
        """Plain contents, for sending to another process.

        Raises:
            ValueError: If a vector was not finite.
        """
        self._checks.finish()
        return dict(count=self.count, mean=self.mean, scatter=self.scatter)

    @classmethod
    def merged(cls, states: list[dict]) -> 'Moments':
        """The moments of several processes, merged in the given order."""
        moments = cls()
        for state in states:
            if state['count']:
                moments._merge(state['count'], state['mean'], state['scatter'])
        return moments

    def std(self) -> Tensor:
        """Population standard deviation (C,); 1 for a constant channel, so that dividing by it gives 0, not NaN."""
        self._require_vectors()
        std = (self.scatter.diagonal().clamp(min=0) / self.count).sqrt()
        # A constant channel leaves rounding errors of its mean, not exactly 0.
        return torch.where(std > 1e-12 * (1 + self.mean.abs()), std, torch.ones_like(std))

    def covariance(self) -> Tensor:
        """Population covariance (C, C)."""
        self._require_vectors()
        return self.scatter / self.count

    def _require_vectors(self) -> None:
        self._checks.finish()
        if not self.count:
            raise ValueError('No feature vector was seen: the data set for fitting is empty.')


def gram(vectors: Tensor) -> Tensor:
    """vectors.T @ vectors of vectors (n, C): (C, C)."""
    if vectors.device.type != 'cpu':
        return vectors.T @ vectors
    array = vectors.numpy()
    return torch.from_numpy(array.T @ array)  # NumPy computes one triangle only: half the time

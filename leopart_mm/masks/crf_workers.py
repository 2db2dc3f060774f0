"""The dense CRF of many images, spread over worker processes."""

from collections.abc import Iterable, Iterator
from functools import partial
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from leopart_mm.masks.crf import DEFAULTS, CRFSettings, dense_crf
from leopart_mm.worker_processes import Workers

AHEAD = 2
"""Images per worker that wait for it or for their turn, so that memory does not grow with the number of images."""


class CRFWorkers:
    """Processes that stay, and run the CRF of an image each; usable in ``with``.

    They are started afresh ('spawn'), so that they work beside CUDA and on every system: a script that uses them must
    keep its work below ``if __name__ == '__main__':``. The first result takes some seconds longer.

    Args:
        settings: See CRFSettings.
        workers: Number of processes, each of one thread; 0: no other process, the threads of this one.
        labels: Whether results are labels instead of marginals, which are many times larger to send.

    Raises:
        ValueError: If `workers` is negative.
    """

    def __init__(self, settings: CRFSettings = DEFAULTS, workers: int = 0, labels: bool = False) -> None:
        if workers < 0:
            raise ValueError(f'CRFWorkers: workers={workers} must not be negative; 0 starts no process.')
        self.settings, self.workers, self.labels = settings, workers, labels
        self._pool: Workers | None = None

    def map(self, items: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
        """Results in the order of the items, the same for any number of workers.

        Args:
            items: Log-probabilities (L, h, w) or (S, L, h, w) and the image (H, W, 3) uint8 of each image, see
                `dense_crf`; read as far ahead as the workers need.

        Yields:
            (L, H, W) or (S, L, H, W) float32 marginals; with `labels` (H, W) or (S, H, W) int64, the first label of
            the largest marginal. On the CPU if there are workers, else where the log-probabilities are.

        Raises:
            ValueError: If an item is wrong; the message says which.
            RuntimeError: If a worker was ended from outside.
        """
        if not self.workers:
            for number, (log_probs, image) in enumerate(items):
                yield _run(log_probs, image, self.settings, self.labels, number)
            return
        if self._pool is None:
            self._pool = Workers(partial(_run_arrays, self.settings, self.labels), self.workers, 'spawn', AHEAD)
        arrays = ((log_probs.detach().float().cpu().numpy(), image.cpu().numpy(), number)
                  for number, (log_probs, image) in enumerate(items))
        try:
            for result in self._pool.map(arrays):
                yield torch.from_numpy(result)
        except RuntimeError:  # of a worker that is gone: a later `map` starts new ones
            self.close()
            raise

    def close(self) -> None:
        """End the processes; a later `map` starts new ones."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def __enter__(self) -> 'CRFWorkers':
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()


def crf_images(items: Iterable[tuple[Tensor, Tensor]], settings: CRFSettings = DEFAULTS, workers: int = 0,
               labels: bool = False) -> Iterator[Tensor]:
    """The dense CRF of many images, in order, over worker processes that end with the last; see CRFWorkers."""
    with CRFWorkers(settings, workers, labels) as pool:
        yield from pool.map(items)


def _run(log_probs: Tensor, image: Tensor, settings: CRFSettings, labels: bool, number: int) -> Tensor:
    try:
        marginals = dense_crf(log_probs, image, settings)
    except (ValueError, MemoryError) as error:
        raise type(error)(f'Image {number} of those given to the CRF: {error}') from error
    return marginals.argmax(-3) if labels else marginals


def _run_arrays(settings: CRFSettings, labels: bool, item: tuple[np.ndarray, np.ndarray, int]) -> np.ndarray:
    log_probs, image, number = item
    return _run(torch.from_numpy(log_probs), torch.from_numpy(image), settings, labels, number).numpy()

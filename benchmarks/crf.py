"""The dense CRF: our lattice beside the published library's C++, or beside the exact filter where that is missing.

The library is the PyPI package pydensecrf2, which is built from source. In a virtual environment of its own, made by
the same Python as ours (it shares no package with it)::

    python -m venv /tmp/crf && /tmp/crf/bin/pip install 'cython<3' numpy setuptools wheel
    /tmp/crf/bin/pip install --no-build-isolation --no-deps --target /tmp/crf/alone pydensecrf2==1.1
    PYTHONPATH=/tmp/crf/alone python tools/benchmark.py crf

Without the library the baseline is the same mean field by the exact kernels over all pairs of pixels, in blocks of
rows, on smaller images.
"""

import importlib.util
from typing import Any

import numpy as np

from benchmarks.base import Benchmark, benchmark


def has_library() -> bool:
    """Whether the published library is importable."""
    return importlib.util.find_spec('pydensecrf') is not None


def photographs(size: int, count: int) -> list[np.ndarray]:
    """Square photographs (size, size, 3) uint8 that come with scikit-image, in turn and mirrored."""
    import cv2
    from skimage import data
    images = []
    for number in range(count):
        image = (data.astronaut, data.coffee, data.chelsea)[number % 3]()
        side = min(image.shape[:2])
        left = (image.shape[1] - side) // 2
        square = cv2.resize(image[:side, left:left + side], (size, size), interpolation=cv2.INTER_AREA)
        images.append(np.ascontiguousarray(square[:, ::-1] if number // 3 % 2 else square))
    return images


@benchmark('crf')
class CRF(Benchmark):
    """Dense CRF of 4 photographs of 320 x 320, 27 labels: two workers, beside the C++ library's loop over images."""

    expected = 45.
    threads = 1
    same_calls = True
    repeats = 1
    compared = 'labels: equal on 99.9 % of the pixels beside the library, on 95 % beside the exact filter'
    labels = 27
    count = 4
    workers = 2

    def setup(self, quick: bool) -> None:
        """Photographs and smooth log-probabilities of a grid of 8 pixels per cell."""
        import torch

        from leopart_mm.masks.crf import CRFSettings
        from leopart_mm.masks.crf_workers import CRFWorkers
        self.backend = 'pydensecrf' if has_library() else 'exact'
        self.size = 32 if quick else 320 if has_library() else 64
        self.quick, self.settings, self.other = quick, CRFSettings(), CRFSettings(backend=self.backend)
        generator = torch.Generator().manual_seed(0)
        shape = self.labels, self.size // 8, self.size // 8
        self.items = [((3 * torch.randn(shape, generator=generator)).log_softmax(0), torch.from_numpy(image))
                      for image in photographs(self.size, 2 if quick else self.count)]
        self.pool = CRFWorkers(self.settings, 0 if quick else self.workers, labels=True)

    def ours(self) -> Any:
        """Images spread over processes that stay; they start in the call that is not measured."""
        return self._result(self.pool.map(self.items))

    def baseline(self) -> Any:
        """Image after image on one core, as published."""
        from leopart_mm.masks.crf import dense_crf
        return self._result(dense_crf(*item, self.other).argmax(0) for item in self.items)

    def _result(self, maps: Any) -> dict:
        return dict(labels=np.stack([labels.numpy().astype(np.uint8) for labels in maps]), backend=self.backend)

    def same(self, ours: dict, baseline: dict) -> bool:
        """Same labels, but for ties, or for the approximation that a lattice is."""
        equal = (ours['labels'] == baseline['labels']).mean()
        return bool(equal >= (0.95 if baseline['backend'] == 'exact' else 0.999))

    def details(self) -> list[str]:
        """Each on one core: few and many labels, two variants that share an image; and the memory of a worker."""
        import torch

        from benchmarks.device import least_time
        from benchmarks.memory import PeakMemory
        from leopart_mm.masks.crf import dense_crf
        (log_probs, image), times = self.items[0], 1 if self.quick else 3
        memory = PeakMemory()
        dense_crf(log_probs, image, self.settings)
        lines = [f'  peak MB of ours is that of the main process; each of {self.workers} workers needs '
                 f'{memory.peak_mb():.0f} MB for an image',
                 f'  baseline: {"library pydensecrf2" if has_library() else "exact filter (no pydensecrf2 here)"}, '
                 f'{self.size} x {self.size} px; processor time per image on one core:']
        for name, maps in (('9 labels', log_probs[:9]), (f'{self.labels} labels', log_probs),
                           (f'{self.labels} labels, 2 variants', torch.stack([log_probs, log_probs.flip(0)]))):
            ours, theirs = (least_time(lambda settings=settings, maps=maps: dense_crf(maps, image, settings), times)[0]
                            for settings in (self.settings, self.other))
            lines.append(f'  {name}: {ours:.3f} s, baseline {theirs:.3f} s ({theirs / ours:.2f}x faster)')
        return lines


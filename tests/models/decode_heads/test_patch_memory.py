"""How much memory filling takes: that of what is kept, not of what is read."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from benchmarks.memory import PeakMemory
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.decode_heads import RetrievalHead
from leopart_mm.models.fitting.feature_batch import FeatureBatch

GRID, CHANNELS, IMAGES = 28, 384, 160  # 4.8 MB of features an image


class Stream:
    """Noise, made while it is read."""

    def __init__(self, count_images):
        if count_images:
            self.num_images = IMAGES

    def __iter__(self):
        labels = torch.arange(GRID**2).view(GRID, GRID).remainder(5)
        for index in range(IMAGES):
            maps = torch.randn(1, CHANNELS, GRID, GRID)
            sample = SegDataSample(gt_sem_seg=PixelData(data=labels[None]))
            yield FeatureBatch(DenseFeatures((maps, ), (GRID, GRID)), [sample], [str(index)], [(0, GRID, 0, GRID)])


@pytest.mark.parametrize(('memory_size', 'count_images', 'limit'), [(1600, True, 60), (None, True, 1.25),
                                                                    (None, False, 1.5)])
def test_peak_memory_is_that_of_the_bank(memory_size, count_images, limit):
    head = RetrievalHead(5, k=3, memory_size=memory_size)
    warm = RetrievalHead(5, k=3)  # libraries and buffers of the first call
    warm.fit(list(Stream(True))[:2])
    memory = PeakMemory()
    if not memory.resettable:
        pytest.skip('the peak cannot be reset on this system')
    head.fit(Stream(count_images))
    bank = (head.keys.nbytes + head.counts.nbytes) / 2**20
    assert len(head.keys) == (1600 if memory_size else IMAGES * GRID**2)
    assert memory.peak_mb() < (limit if memory_size else limit * bank + 30)

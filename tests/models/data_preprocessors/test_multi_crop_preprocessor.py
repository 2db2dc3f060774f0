import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from leopart_mm.datasets.transforms import DrawPhotometric, PackMultiCrop, RoIAlignedMultiCrop
from leopart_mm.datasets.transforms.photometric import augment
from leopart_mm.registry import MODELS

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def build(**kwargs):
    return MODELS.build(dict(type='leopart_mm.MultiCropDataPreprocessor', mean=MEAN, std=STD, **kwargs))


def batch(photometric=True, size=3):
    steps = [RoIAlignedMultiCrop((2, 2), (32, 16)), DrawPhotometric(), PackMultiCrop()]
    if not photometric:
        del steps[1]
    rng = np.random.default_rng(0)
    np.random.seed(0)
    samples = []
    for _ in range(size):
        sample = dict(img=rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
        for step in steps:
            sample = step(sample)
        samples.append(sample)
    return default_collate(samples)


def normalised(images):
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def test_plain_crops_are_normalised():
    data = batch(photometric=False)
    out = build()(data, training=True)
    assert out['data_samples'] is None
    assert set(out['inputs']) == {'crops', 'gc_boxes', 'all_boxes', 'flipped'}
    for crop, raw in zip(out['inputs']['crops'], data['inputs']['crops'], strict=True):
        assert raw.dtype == torch.uint8  # the batch itself stays as it was
        torch.testing.assert_close(crop, normalised(raw.float()))
    assert out['inputs']['gc_boxes'] is not None
    torch.testing.assert_close(out['inputs']['all_boxes'], data['inputs']['all_boxes'])


@pytest.mark.parametrize('size', [3, 40])
def test_the_batchs_parameters_are_applied_per_crop_then_normalised(size):
    data = batch(size=size)
    out = build()(data, training=True)
    assert 'photometric' in data['inputs']
    assert 'photometric' not in out['inputs']
    for v, crop in enumerate(out['inputs']['crops']):
        expected = augment(data['inputs']['crops'][v] / 255, data['inputs']['photometric'][:, v])
        torch.testing.assert_close(crop, normalised(expected * 255), rtol=0, atol=3e-5)  # values up to 2.7


@pytest.mark.parametrize('training', [False, True])
def test_other_batches_are_treated_as_by_mmseg(training):
    reference = MODELS.build(dict(type='mmseg.SegDataPreProcessor', mean=MEAN, std=STD, bgr_to_rgb=True, size=(24, 24)))
    results = []
    for preprocessor in (build(size=(24, 24)), reference):
        generator = torch.Generator().manual_seed(0)
        images = [torch.randint(0, 256, (3, 20, 24), dtype=torch.uint8, generator=generator) for _ in range(2)]
        samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 20, 24)), metainfo=dict(img_shape=(20, 24)))
                   for _ in range(2)]
        results.append(preprocessor(dict(inputs=images, data_samples=samples), training))
    ours, theirs = results
    assert torch.equal(ours['inputs'], theirs['inputs'])
    assert ours['inputs'].shape == ((2, 3, 24, 24) if training else (2, 3, 20, 24))
    assert len(ours['data_samples']) == 2


def test_crops_of_another_number_of_channels_are_refused():
    with pytest.raises(ValueError, match='4 channels'):
        build()(dict(inputs=dict(crops=[torch.zeros(1, 4, 8, 8, dtype=torch.uint8)])), training=True)
    with pytest.raises(ValueError, match='equally long'):
        MODELS.build(dict(type='leopart_mm.MultiCropDataPreprocessor', mean=MEAN, std=[1.]))
    with pytest.raises(ValueError, match=r"put DrawPhotometric\(\*\*\{'jitter': 1.0\}\) behind"):
        build(photometric=dict(jitter=1.))


def test_more_bands_without_photometric():
    preprocessor = MODELS.build(dict(type='leopart_mm.MultiCropDataPreprocessor', mean=[1.] * 5, std=[2.] * 5))
    out = preprocessor(dict(inputs=dict(crops=[torch.full((1, 5, 4, 4), 3, dtype=torch.uint8)])), training=True)
    assert torch.equal(out['inputs']['crops'][0], torch.ones(1, 5, 4, 4))


def test_the_number_of_threads_changes_nothing():
    data, results = batch(size=5), []
    before = torch.get_num_threads(), cv2.getNumThreads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        results.append(build()(data, training=True)['inputs']['crops'])
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_copies_are_not_waited_for_on_cuda_by_default():
    crops = dict(inputs=dict(crops=[torch.zeros(1, 3, 4, 4, dtype=torch.uint8)]))
    for given, expected in ((None, False), (True, True)):
        preprocessor = build(non_blocking=given)
        preprocessor(crops)
        assert preprocessor._non_blocking is expected
    preprocessor = build()
    preprocessor._device = torch.device('cuda')  # mean and std stay on the CPU
    with pytest.raises((AssertionError, RuntimeError)):
        preprocessor(crops)
    assert preprocessor._non_blocking is True

"""The student's copy: frequencies, seeds, batches, order of normalising, messages."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from leopart_mm.datasets.samplers.draw import Draw
from leopart_mm.datasets.transforms import DrawStudentAugmentation
from leopart_mm.datasets.transforms import photometric_parameters as columns
from leopart_mm.datasets.transforms.student_photometric import augment_student, student_parameters
from leopart_mm.models.data_preprocessors import StudentAugmentation
from leopart_mm.registry import MODELS

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def batch(size=6, side=24, seed=0):
    pixels = torch.rand(size, 3, side, side, generator=torch.Generator().manual_seed(seed))
    return pixels, (pixels * 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def test_how_often_and_how_much():
    table = student_parameters(torch.rand(20000, 8, generator=torch.Generator().manual_seed(1)))
    jittered = (table[:, :4] != torch.tensor((1, 1, 1, 0))).any(1)
    grey = table[:, columns.GREY] == 1
    assert jittered.float().mean().item() == pytest.approx(0.15, abs=0.01)
    assert grey.float().mean().item() == pytest.approx(0.05, abs=0.005)
    assert not (jittered & grey).any()
    changed = table[jittered]
    for column, (low, high) in enumerate([(0.9, 1.1)] * 3 + [(-0.1, 0.1)]):
        assert low <= changed[:, column].min() < low + 0.005 < high - 0.005 < changed[:, column].max() <= high
    assert len(changed[:, columns.ORDER].unique()) == 24
    assert 0.1 <= table[:, columns.SIGMA].min() < 0.12 < 1.98 < table[:, columns.SIGMA].max() <= 2


def test_equals_torchvision_on_plain_pixels():
    """An independent calculation of the default, before normalising, for given draws."""
    pixels, inputs = batch(3)
    draws = torch.tensor([[0.9, 0.2, 0.6, 0.3, 0.999, 0.1, 0.1, 0.5], [0.5] * 5 + [0.9, 0.05, 0.3],
                          [0.5] * 5 + [0.9, 0.5, 0.9]], dtype=torch.float64)
    result = StudentAugmentation()(inputs, MEAN, STD, draws)
    sigmas = [0.1 + 1.9 * draw for draw in (0.5, 0.3, 0.9)]
    expected = torch.stack([v2.functional.gaussian_blur(image, [21, 21], [sigma, sigma])
                            for image, sigma in zip(pixels, sigmas, strict=True)])
    first = v2.functional.adjust_hue(expected[0], 0.1 * (2 * 0.3 - 1))
    first = v2.functional.adjust_saturation(first, 1 + 0.1 * (2 * 0.6 - 1))
    first = v2.functional.adjust_contrast(first, 1 + 0.1 * (2 * 0.2 - 1))
    expected[0] = v2.functional.adjust_brightness(first, 1 + 0.1 * (2 * 0.9 - 1))  # the last order: h, s, c, b
    expected[1] = (expected[1] * torch.tensor((0.2989, 0.587, 0.114)).view(3, 1, 1)).sum(0)
    expected = (expected * 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert torch.allclose(result, expected, atol=3e-4)
    assert torch.allclose(result[1:], expected[1:], atol=1e-5)


def test_seed_batches_and_inputs():
    _, inputs = batch()
    before = inputs.clone()
    augment = MODELS.build(dict(type='leopart_mm.StudentAugmentation', jitter_prob=0.9, grey_prob=0.5))
    torch.manual_seed(3)
    whole = augment(inputs, MEAN, STD)
    torch.manual_seed(3)
    parts = torch.cat([augment(part, MEAN, STD) for part in inputs.split([1, 2, 3])])
    assert torch.equal(whole, parts)
    assert torch.equal(inputs, before)
    assert not torch.equal(whole, augment(inputs, MEAN, STD))


def test_batched_equals_one_by_one():
    """A GPU changes all images of a batch at once, a CPU one after the other."""
    images, _ = batch(8)
    draws = torch.rand(8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    draws[:4, 5:7], draws[4:6, 5:7] = 0.2, torch.tensor((0.8, 0.05), dtype=torch.float64)
    table = student_parameters(draws)
    single = torch.cat([augment_student(image[None].clone(), row[None])
                        for image, row in zip(images, table, strict=True)])
    assert torch.allclose(augment_student(images.clone(), table), single, atol=1e-6)


def test_published_order_clamps():
    _, inputs = batch(2)
    draws = torch.tensor([[0.5, 0.6, 0.4, 0.5, 0., 0.1, 0.1, 0.], [0.5] * 5 + [0.1, 0.9, 0.]], dtype=torch.float64)
    jittered, blurred = StudentAugmentation(before_normalize=False)(inputs, MEAN, STD, draws)
    assert 0 <= jittered.min() <= jittered.max() <= 1
    assert torch.allclose(blurred, inputs[1], atol=1e-6)  # sigma 0.1 blurs nothing
    right = StudentAugmentation()(inputs, MEAN, STD, draws)
    assert right[0].min() < -1 < 1 < right[0].max()


def test_draws_of_the_pipeline_belong_to_the_sample():
    transform = DrawStudentAugmentation()
    first, again, other = (transform.transform(dict(sample_idx=Draw(index, number, 5)))['student_draws']
                           for index, number in ((1, 7), (2, 7), (1, 8)))
    assert first.shape == (8, )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_messages():
    with pytest.raises(ValueError, match=r'hue must be in 0\.\.0\.5, not 0\.7'):
        StudentAugmentation(hue=0.7)
    with pytest.raises(ValueError, match='kernel_size must be odd, not 4'):
        StudentAugmentation(kernel_size=4)
    with pytest.raises(ValueError, match='sigma must be'):
        StudentAugmentation(sigma=(2, 1))
    with pytest.raises(ValueError, match=r'8 x 8 pixels are too small for a blur of kernel_size=21'):
        StudentAugmentation()(torch.zeros(1, 3, 8, 8), MEAN, STD)
    with pytest.raises(ValueError, match=r'5 channels.*jitter_prob=0'):
        StudentAugmentation()(torch.zeros(1, 5, 24, 24), [0] * 5, [1] * 5)
    five = StudentAugmentation(jitter_prob=0, grey_prob=0)(torch.ones(1, 5, 24, 24), [0] * 5, [1] * 5)
    assert torch.allclose(five, torch.ones(1, 5, 24, 24), atol=1e-5)
    with pytest.raises(ValueError, match=r'2 images need draws of \(2, 8\)'):
        StudentAugmentation()(torch.zeros(2, 3, 24, 24), MEAN, STD, torch.zeros(1, 8))

import numpy as np
import pytest
import torch

from leopart_mm.datasets.transforms.photometric import augment
from leopart_mm.datasets.transforms.photometric_parameters import draw_photometric
from leopart_mm.datasets.transforms.resizing import resize_planes
from leopart_mm.geometry.crop_boxes import sample_crops
from leopart_mm.models.data_preprocessors import crop_cutting
from leopart_mm.models.data_preprocessors.crop_cutting import (
    cut_crops,
    cut_one_by_one,
    cut_together,
    resize_weights,
    together,
)
from tests.no_sync import fake_cuda

SIDES = [40, 40, 18, 18]


def batch(sizes=((60, 90), (75, 50), (150, 210), (20, 31), (1, 70)), channels=3, dtype=torch.uint8):
    """Smooth noise of several sizes, with boxes and flips."""
    rng = np.random.default_rng(0)
    images, boxes = [], []
    for height, width in sizes:
        coarse = torch.from_numpy(rng.uniform(0, 256, (channels, height // 3 + 1, width // 3 + 1)))
        image = resize_planes(coarse.float(), (height, width)).permute(1, 2, 0).contiguous()
        images.append(image.byte() if dtype == torch.uint8 else image)
        boxes.append(sample_crops(height, width, (2, 2), ((0.25, 1.), (0.05, 0.25)), rng)[0])
    return images, torch.from_numpy(np.stack(boxes)), SIDES, torch.from_numpy(rng.random((len(sizes), 4)) < 0.5)


def differences(ones, others):
    return torch.cat([(one.float() - other.float()).abs().flatten() for one, other in zip(ones, others, strict=True)])


def test_one_by_one_are_the_crops_of_today():
    images, boxes, sides, flipped = batch()
    assert flipped.any()
    assert not flipped.all()
    crops = cut_crops(images, boxes, sides, flipped)
    for v, side in enumerate(sides):
        assert crops[v].shape == (5, 3, side, side)
        assert crops[v].is_contiguous()
        for b, image in enumerate(images):
            x1, y1, x2, y2 = boxes[b, v].tolist()
            expected = resize_planes(image.permute(2, 0, 1)[:, y1:y2, x1:x2], (side, side))
            assert torch.equal(crops[v][b], expected.flip(2) if flipped[b, v] else expected)


def test_together_differs_by_hundredths_of_a_grey_level():
    """docs/speed.md states what was measured on photos; the bound of the project is 1 level."""
    arguments = batch()
    crops = cut_together(*arguments)
    assert all(crop.dtype == torch.uint8 for crop in crops)
    difference = differences(crops, cut_one_by_one(*arguments))
    assert difference.mean() < 0.02
    assert difference.max() <= 1


def test_half_precision_of_a_gpu_stays_within_the_bound():
    arguments = batch()
    columns = crop_cutting._padded_columns(arguments[0], torch.float16)
    whole = cut_one_by_one(*arguments)
    for v, side in enumerate(SIDES):
        box, flips = arguments[1][:, v].float(), arguments[3][:, v]
        along_x = resize_weights(box[:, 0], box[:, 2], side, columns.shape[1], flips).half()
        along_y = resize_weights(box[:, 1], box[:, 3], side, columns.shape[2]).half()
        made = crop_cutting.resample(columns, along_x, along_y, 1, True)[:, 0].permute(0, 3, 1, 2)
        difference = (made - whole[v]).abs().float()
        assert difference.mean() < 0.2
        assert difference.max() <= 2


@pytest.mark.parametrize('channels', [1, 3, 5])
def test_numbers_that_are_no_bytes_are_not_rounded(channels):
    arguments = batch(channels=channels, dtype=torch.float32)
    crops = cut_together(*arguments)
    assert crops[0].shape == (5, channels, 40, 40)
    assert differences(crops, cut_one_by_one(*arguments)).max() < 1e-3  # of 255


def test_weights_by_hand():
    """Four pixels from the second on become two, the first pixel of the source and the last have no weight."""
    weights = resize_weights(torch.tensor([1]), torch.tensor([5]), 2, 6)[0]
    row = torch.tensor([0.75, 0.75, 0.25])
    expected = torch.zeros(2, 6)
    expected[0, 1:4] = expected[1, [4, 3, 2]] = row / row.sum()
    torch.testing.assert_close(weights, expected)
    mirrored = resize_weights(torch.tensor([1]), torch.tensor([5]), 2, 6, torch.tensor([1]))[0]
    torch.testing.assert_close(mirrored, expected.flip(0))


def test_what_is_cut_together_does_not_matter(monkeypatch):
    arguments = batch()
    whole = cut_together(*arguments)
    monkeypatch.setattr(crop_cutting, 'together', lambda shapes: together(shapes, 60 * 90 * 3))
    parts = cut_together(*arguments)
    images, boxes, sides, flipped = arguments
    alone = cut_together(images[2:3], boxes[2:3], sides, flipped[2:3])
    assert differences(parts, whole).mean() < 1e-3  # sums in another order may round otherwise
    assert differences(alone, [crop[2:3] for crop in whole]).mean() < 1e-3


def test_similar_images_are_cut_together():
    shapes = [(100, 10, 3), (9, 9, 3), (10, 100, 3), (10, 10, 3)]
    assert list(together(shapes, 700)) == [[1, 3], [0], [2]]
    assert list(together(shapes, 10**6)) == [[1, 3, 0, 2]]


def test_images_of_several_channels_are_refused():
    images, boxes, sides, flipped = batch()
    images[1] = images[1][..., :1]
    with pytest.raises(ValueError, match=r'\[1, 3\] channels'):
        cut_crops(images, boxes, sides, flipped)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
def test_a_gpu_cuts_the_same_crops():
    images, *rest = batch()
    crops = cut_crops([image.cuda() for image in images], *rest)
    difference = differences([crop.cpu() for crop in crops], cut_crops(images, *rest))
    assert difference.mean() < 0.2
    assert difference.max() <= 2


def test_a_gpu_is_not_waited_for(monkeypatch):
    """Cutting, colours and normalisation, on tensors that claim to be on a GPU: half precision, no trip to the host."""
    images, boxes, _, flipped = batch()
    rows = torch.from_numpy(draw_photometric(20, np.random.default_rng(0))).view(5, 4, 7)
    expected = [augment(crop / 255, rows[:, v]) for v, crop in enumerate(cut_crops(images, boxes, SIDES, flipped))]
    monkeypatch.setattr(torch.Tensor, 'pin_memory', lambda tensor: tensor)  # needs a driver
    with fake_cuda() as cuda:
        placed = [cuda(image) for image in images]
        with cuda.strict():
            crops = cut_crops(placed, boxes, SIDES, flipped)
            coloured = [augment(crop * (1 / 255), rows[:, v]) for v, crop in enumerate(crops)]
        assert coloured[0].device.type == 'cuda'
        coloured = [crop.cpu() for crop in coloured]
    assert differences(coloured, expected).mean() < 1 / 255

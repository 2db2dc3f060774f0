import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from PIL import Image
from torchvision.ops import roi_align

from leopart_mm.datasets.samplers import Draw
from leopart_mm.datasets.transforms import DrawPhotometric, PackMultiCrop, RoIAlignedMultiCrop
from leopart_mm.datasets.transforms.resizing import as_planes, resize_planes


def image(height=60, width=90, channels=3, dtype=np.uint8, seed=0):
    high = 256 if dtype == np.uint8 else 65536
    shape = (height, width) if channels is None else (height, width, channels)
    values = np.random.default_rng(seed).integers(0, high, shape)
    return values.astype(dtype)


def test_shapes_and_collation():
    steps = [RoIAlignedMultiCrop((2, 3), (32, 16), ((0.25, 1.), (0.05, 0.25))), DrawPhotometric(), PackMultiCrop()]
    samples = []
    for seed in range(2):
        results = dict(img=image(seed=seed))
        for step in steps:
            results = step(results)
        samples.append(results)
    inputs = default_collate(samples)['inputs']
    assert [tuple(crop.shape) for crop in inputs['crops']] == [(2, 3, 32, 32)] * 2 + [(2, 3, 16, 16)] * 3
    assert all(crop.dtype == torch.uint8 for crop in inputs['crops'])
    assert inputs['gc_boxes'].shape == (2, 2, 5, 4)
    assert inputs['all_boxes'].shape == (2, 5, 2, 4)
    assert inputs['flipped'].dtype == torch.bool
    assert not inputs['flipped'].any()
    assert inputs['photometric'].shape == (2, 5, 7)


def test_crop_is_pils_of_the_box_in_rgb():
    bgr = image(100, 140)
    results = RoIAlignedMultiCrop((1, 1), (32, 16), ((0.25, 1.), (0.05, 0.25)))(dict(img=bgr))
    for crop, box in zip(results['crops'], results['crop_absolute'].tolist(), strict=True):
        picture = Image.fromarray(bgr[..., ::-1].copy()).crop(box).resize((crop.shape[-1],) * 2, Image.BILINEAR)
        difference = crop.permute(1, 2, 0).numpy().astype(int) - np.asarray(picture)
        assert np.abs(difference).max() <= 1
        assert np.abs(difference).mean() < 0.25


@pytest.mark.parametrize('box', [(0, 0, 60, 40), (3, 5, 90, 58), (10, 10, 12, 13)])
def test_resize_is_pils(box):
    picture = Image.fromarray(image()).crop(box)
    ours = resize_planes(as_planes(np.asarray(picture)), (24, 24)).permute(1, 2, 0).numpy().astype(int)
    difference = ours - np.asarray(picture.resize((24, 24), Image.BILINEAR))
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize('flip_prob', [0., 0.5, 1.])
def test_same_cell_is_same_place_in_all_crops(flip_prob):
    # channel 0 is x, channel 1 is y of the pixel's centre: aligned cells of two crops have to agree on both
    height, width = 300, 400
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    coordinates = np.stack([x, y, x], axis=-1)
    transform = RoIAlignedMultiCrop((2, 4), (224, 96), flip_prob=flip_prob, to_rgb=False)
    np.random.seed(3)
    flips = set()
    for _ in range(4):
        results = transform(dict(img=coordinates))
        crops, flipped = results['crops'], results['flipped']
        flips |= set(flipped.tolist())
        absolute = results['crop_absolute']
        for t in range(2):
            for v in range(6):
                one = aligned(crops[t], results['gc_boxes'][t, v], flipped[t])
                other = aligned(crops[v], results['all_boxes'][v, t], flipped[v])
                # sub-pixel of the coarser crop; border samples are clamped to half a crop pixel from the edge
                pixel = max((absolute[i, 2:] - absolute[i, :2]).max() / crops[i].shape[-1] for i in (t, v))
                assert (one - other).abs().max() < 0.75 * pixel
                inner = (one - other)[:, 1:-1, 1:-1]
                assert inner.abs().max() < 0.1
    assert flips == {0.: {False}, 0.5: {False, True}, 1.: {True}}[flip_prob]


def aligned(crop, box, flipped):
    cells = roi_align(crop[None, :2], [torch.from_numpy(box)[None]], (7, 7), aligned=True)[0]
    return cells.flip(-1) if flipped else cells


@pytest.mark.parametrize(('channels', 'dtype'), [(None, np.uint8), (1, np.uint8), (4, np.uint8), (3, np.uint16),
                                                 (7, np.float32), (None, np.float64)])
def test_any_kind_of_pixel(channels, dtype):
    results = RoIAlignedMultiCrop((2, 1), (16, 8), ((0.25, 1.), (0.05, 0.25)))(dict(img=image(30, 40, channels, dtype)))
    crop = results['crops'][0]
    assert crop.shape == (channels or 1, 16, 16)
    assert crop.dtype == (torch.uint8 if dtype == np.uint8 else torch.float32)
    if dtype == np.uint16:
        assert 0 <= crop.min() <= crop.max() <= 255


def test_sixteen_bits_keep_the_scale():
    planes = as_planes(np.full((2, 2), 65535, dtype=np.uint16))
    assert planes.tolist() == [[[255.] * 2] * 2]


@pytest.mark.parametrize('shape', [(1, 1000, 3), (1000, 1, 3), (10, 10, 3), (1, 1, 3), (5, 7, 3)])
def test_small_and_extreme_images(shape):
    results = RoIAlignedMultiCrop(flip_prob=0.5)(dict(img=image(*shape)))
    assert [tuple(crop.shape) for crop in results['crops']] == [(3, 224, 224)] * 2 + [(3, 96, 96)] * 4
    assert np.isfinite(results['gc_boxes']).all()
    assert (results['gc_boxes'][..., 2:] > results['gc_boxes'][..., :2]).all()


def test_bad_input_is_named():
    with pytest.raises(TypeError, match='int64'):
        as_planes(np.zeros((2, 2), dtype=np.int64))
    with pytest.raises(ValueError, match='shape'):
        as_planes(np.zeros((0, 2, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match='equally long'):
        RoIAlignedMultiCrop(num_crops=(2, 4), sizes=(224,))
    with pytest.raises(ValueError, match='scale'):
        RoIAlignedMultiCrop(scales=((0., 1.), (0.05, 0.25)))
    with pytest.raises(ValueError, match='min_containment must be in'):
        RoIAlignedMultiCrop(min_containment=1.1)
    with pytest.raises(ValueError, match='flip_prob'):
        RoIAlignedMultiCrop(flip_prob=2)
    with pytest.raises(KeyError, match='RoIAlignedMultiCrop'):
        PackMultiCrop()(dict(img=image()))


def test_numpys_seed_decides_without_a_numbering_sampler():
    transform = RoIAlignedMultiCrop(flip_prob=0.5)
    np.random.seed(1)
    one = transform(dict(img=image()))['crop_absolute']
    other = transform(dict(img=image()))['crop_absolute']
    np.random.seed(1)
    again = transform(dict(img=image(), sample_idx=5))['crop_absolute']
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_the_draw_decides_with_one():
    transform = RoIAlignedMultiCrop(flip_prob=0.5)
    one, same, next_draw, other_seed = (
        transform(dict(img=image(), sample_idx=draw))['crop_absolute']
        for draw in (Draw(5, 17, 1), Draw(5, 17, 1), Draw(5, 18, 1), Draw(5, 17, 2)))
    np.testing.assert_array_equal(one, same)
    assert (one != next_draw).any()
    assert (one != other_seed).any()


def test_the_image_is_left_alone():
    original = image()
    read_only = original.copy()
    read_only.flags.writeable = False
    RoIAlignedMultiCrop(flip_prob=1.)(dict(img=read_only))
    view = original[:, ::-1]  # negative stride
    RoIAlignedMultiCrop(flip_prob=1.)(dict(img=view))
    np.testing.assert_array_equal(original, read_only)

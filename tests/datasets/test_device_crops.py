"""Crops that the device cuts: those of today, for images of any kind, with any number of workers and after a resume."""

import itertools

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate, worker_init_fn
from mmengine.runner import Runner
from PIL import Image
from torch.utils.data import DataLoader

from leopart_mm.datasets import UnlabelledImages, multi_crop_collate
from leopart_mm.datasets.collate import split_images
from leopart_mm.datasets.samplers import InfiniteDrawSampler
from leopart_mm.datasets.transforms import PackMultiCrop, RoIAlignedMultiCrop
from leopart_mm.models.data_preprocessors import MultiCropDataPreprocessor


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Eight images of all kinds and sizes, one of them damaged and one turned by EXIF."""
    root = tmp_path_factory.mktemp('images')
    colour = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    Image.fromarray(colour).save(root / 'a.jpg')
    Image.fromarray(colour[:30, :50, 0]).save(root / 'b_grey.jpg')
    Image.fromarray(np.dstack([colour, colour[..., :1]])[5:]).save(root / 'c_alpha.png')
    (root / 'd_damaged.jpg').write_bytes((root / 'a.jpg').read_bytes()[:300])
    Image.fromarray(colour[..., 0].astype(np.uint16) * 257).save(root / 'e_deep.png')
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colour).save(root / 'f_turned.jpg', exif=exif)
    Image.fromarray(colour[:, :40]).convert('P').save(root / 'g_palette.png')
    Image.fromarray(colour[:9, :8]).save(root / 'h_small.png')
    return root


def pipeline(device_crops, cache=None, **load):
    return [
        dict(type='leopart_mm.LoadImage', cache=cache, cache_side=20, **load),
        dict(type='leopart_mm.RoIAlignedMultiCrop', num_crops=(2, 1), sizes=(16, 8), flip_prob=0.5,
             scales=((0.25, 1.), (0.05, 0.25)), device_crops=device_crops),
        dict(type='leopart_mm.DrawPhotometric'),
        dict(type='leopart_mm.PackMultiCrop')]


def batches(folder, device_crops, count=6, num_workers=0, start=0, cache=None, load=None):
    """Batches of 3 behind the data preprocessor."""
    steps = pipeline(device_crops, cache, **load or {})
    dataset = UnlabelledImages(str(folder), pipeline=steps, value_range=(0, 65535))
    sampler = InfiniteDrawSampler(dataset, seed=5)
    sampler.start = start
    loader = DataLoader(
        dataset, batch_size=3, sampler=sampler, num_workers=num_workers, drop_last=True,
        collate_fn=multi_crop_collate if device_crops else default_collate,
        worker_init_fn=lambda worker: worker_init_fn(worker, num_workers, 0, 99))
    preprocessor = MultiCropDataPreprocessor(mean=[120.] * 3, std=[60.] * 3)
    return [preprocessor(batch, True)['inputs'] for batch in itertools.islice(loader, count)]


def assert_same(ours, others):
    assert len(ours) == len(others) > 0
    for one, other in zip(ours, others, strict=True):
        assert one.keys() == other.keys() == {'crops', 'gc_boxes', 'all_boxes', 'flipped'}
        assert all(torch.equal(one[key], other[key]) for key in one if key != 'crops')
        for a, b in zip(one['crops'], other['crops'], strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
            assert a.is_contiguous()


def test_images_of_any_kind_give_the_crops_of_today(folder):
    """Six batches of 3 of 8 images: boxes, flips, colours and stand-ins are the same."""
    ours = batches(folder, True)
    assert any(one['flipped'].any() for one in ours)
    assert_same(ours, batches(folder, False))


@pytest.mark.slow
def test_workers_and_resuming_change_nothing(folder):
    alone = batches(folder, True)
    for num_workers in (1, 2):
        assert_same(batches(folder, True, num_workers=num_workers), alone)
    assert_same(batches(folder, True, 2, num_workers=1, start=4 * 3), alone[4:])


@pytest.mark.slow
def test_workers_fill_a_cache_together(folder, tmp_path):
    """Reduced images, so other crops; the same ones whether a file is there or not, and whoever writes it."""
    cold = batches(folder, True, num_workers=2, cache=str(tmp_path))
    assert len([path for path in tmp_path.rglob('*') if path.is_file()]) == 7
    assert_same(batches(folder, True, cache=str(tmp_path)), cold)
    assert_same(batches(folder, False, cache=str(tmp_path)), cold)


def sample(image, **kwargs):
    np.random.seed(1)
    crops = RoIAlignedMultiCrop((2, 1), (16, 8), ((0.25, 1.), (0.05, 0.25)), device_crops=True, **kwargs)
    return PackMultiCrop()(crops(dict(img=image)))


@pytest.mark.parametrize(('shape', 'dtype'), [((30, 40, 3), np.uint8), ((30, 40), np.uint8), ((30, 40, 3), np.uint16),
                                              ((20, 25, 7), np.float32), ((30, 40, 4), np.uint8)])
def test_any_array_gives_the_crops_of_today(shape, dtype):
    image = (np.random.default_rng(0).random(shape) * (65535 if dtype == np.uint16 else 255)).astype(dtype)
    bands = shape[2] if len(shape) == 3 else 1
    preprocessor = MultiCropDataPreprocessor(mean=[0.] * bands, std=[1.] * bands)
    ours = preprocessor(multi_crop_collate([sample(image)]), True)['inputs']
    np.random.seed(1)
    today = PackMultiCrop()(RoIAlignedMultiCrop((2, 1), (16, 8), ((0.25, 1.), (0.05, 0.25)))(dict(img=image)))
    for one, other in zip(ours['crops'], today['inputs']['crops'], strict=True):
        torch.testing.assert_close(one[0], other.float(), rtol=0, atol=0)


def test_the_batch_holds_all_images_behind_each_other():
    images = [np.random.default_rng(seed).integers(0, 256, (20 + seed, 30, 3), dtype=np.uint8) for seed in range(3)]
    inputs = multi_crop_collate([sample(image) for image in images])['inputs']
    assert inputs['pixels'].dtype == torch.uint8
    assert inputs['shapes'].tolist() == [[20, 30, 3], [21, 30, 3], [22, 30, 3]]
    assert inputs['crop_sizes'].tolist() == [[16, 16, 8]] * 3
    for one, image in zip(split_images(inputs['pixels'], inputs['shapes']), images, strict=True):
        assert torch.equal(one, torch.from_numpy(image[..., ::-1].copy()))
        assert one.untyped_storage().data_ptr() == inputs['pixels'].untyped_storage().data_ptr()


def test_the_collate_function_is_named_if_it_is_missing():
    data = default_collate([sample(np.zeros((20, 30, 3), np.uint8))] * 2)
    with pytest.raises(ValueError, match='multi_crop_collate'):
        MultiCropDataPreprocessor(mean=[0.] * 3, std=[1.] * 3)(data, True)


def test_a_runner_finds_it(folder):
    loader = Runner.build_dataloader(dict(
        batch_size=2, num_workers=0, sampler=dict(type='leopart_mm.DrawSampler', shuffle=False),
        collate_fn=dict(type='leopart_mm.multi_crop_collate'),
        dataset=dict(type='leopart_mm.UnlabelledImages', data_root=str(folder), pipeline=pipeline(True))), seed=0)
    assert loader.collate_fn.func is multi_crop_collate
    assert next(iter(loader))['inputs']['shapes'].tolist() == [[40, 56, 3], [30, 50, 3]]

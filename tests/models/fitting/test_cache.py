import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from leopart_mm.models.fitting import cache as cache_module
from leopart_mm.models.fitting.cache import ImageCache, choose_place, free_memory
from leopart_mm.models.fitting.packed_sample import PackedSample, pack_integers

KEYS = ['a', 'b']
TENSORS = dict(
    map=torch.tensor([[1 / 3, -1e-30], [torch.inf, torch.nan]]), ids=torch.tensor([[5], [70000]]),
    flags=torch.tensor([True, False]), brief=torch.tensor([[.1], [.2]], dtype=torch.bfloat16))


def machine(monkeypatch, memory, disk):
    monkeypatch.setattr(cache_module, 'free_memory', lambda: memory)
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: SimpleNamespace(free=disk))


@pytest.mark.parametrize(('size', 'place'), [(50, 'memory'), (51, 'disk'), (500, 'disk'), (501, None)])
def test_rule_of_auto(monkeypatch, size, place):
    machine(monkeypatch, 100, 1000)
    assert choose_place(size) == place


def test_processes_of_a_machine_share_its_room(monkeypatch):
    machine(monkeypatch, 100, 1000)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    assert [choose_place(size) for size in (25, 26, 250, 251)] == ['memory', 'disk', 'disk', None]


def test_free_memory_heeds_the_limit_of_a_container(monkeypatch, tmp_path):
    assert free_memory() > 2**20
    (tmp_path / 'max').write_text('5000\n')
    (tmp_path / 'current').write_text('3000\n')
    unlimited = tmp_path / 'unlimited'
    unlimited.write_text('max\n')
    monkeypatch.setattr(cache_module, 'MEMORY_LIMITS', [(unlimited, tmp_path / 'current'),
                                                        (tmp_path / 'max', tmp_path / 'current')])
    assert free_memory() == 2000


def test_auto_estimates_from_the_first_batch(monkeypatch):
    machine(monkeypatch, 1000, 10000)
    for images, place in ((6, 'memory'), (7, 'disk'), (100, None)):
        cache = ImageCache('auto', images=images)
        cache.put(KEYS, dict(map=torch.zeros(2, 20)))  # 80 bytes per image
        assert cache.chosen == place
        assert cache.has('a', ['map']) == (place is not None)
        cache.close()


@pytest.mark.parametrize('place', ['memory', 'disk'])
def test_values_come_back_to_the_last_bit(place):
    cache = ImageCache(place)
    cache.put(KEYS, TENSORS)
    for name, values in TENSORS.items():
        found = cache.stack(KEYS, name)
        assert found.dtype == values.dtype
        torch.testing.assert_close(found, values, rtol=0, atol=0, equal_nan=True)
    assert cache.has('a', TENSORS)
    assert not cache.has('a', ['map', 'other'])
    assert not cache.has('c', ['map'])


def test_what_is_dropped_frees_its_file_and_close_removes_the_folder():
    cache = ImageCache('disk')
    cache.put(KEYS, TENSORS)
    folder = Path(cache._folder.name)
    assert len(list(folder.iterdir())) == 8
    cache.discard(KEYS, ['map', 'unknown'])
    assert len(list(folder.iterdir())) == 6
    cache.put(['a'], dict(ids=torch.tensor([[6]])))  # replaced
    assert len(list(folder.iterdir())) == 6
    assert cache.get('a', 'ids') == 6
    cache.close()
    assert not folder.exists()
    cache.put(KEYS, TENSORS)
    assert not cache.has('a', ['map'])


def test_the_folder_goes_with_a_pass_that_fails():
    cache = ImageCache('disk')
    cache.put(KEYS, TENSORS)
    folder = Path(cache._folder.name)
    with pytest.warns(ResourceWarning, match='Implicitly cleaning up'):
        del cache
    assert not folder.exists()


@pytest.mark.parametrize('place', ['auto', 'disk'])
def test_a_full_disk(monkeypatch, place):
    machine(monkeypatch, 0, 10**9)
    cache = ImageCache(place, images=2)
    cache.put(['a'], dict(map=torch.zeros(1, 4)))
    folder = Path(cache._folder.name)

    def full(content, path):
        raise OSError(28, f'{path} cannot be written: No space left on device')

    monkeypatch.setattr(cache_module, 'save_torch_whole', full)
    if place == 'auto':
        cache.put(['b'], dict(map=torch.zeros(1, 4)))
        assert not cache.has('a', ['map'])
        assert cache.chosen is None
    else:
        with pytest.raises(OSError, match=r'No space left.*set TMPDIR to another folder'):
            cache.put(['b'], dict(map=torch.zeros(1, 4)))
    assert not folder.exists()


@pytest.mark.parametrize('place', ['memory', 'disk'])
def test_half_precision_keeps_its_bound(place):
    cache = ImageCache(place, half=True)
    values = torch.cat([torch.randn(1, 10000), 10 ** torch.linspace(-12, 4.8, 10000)[None]])
    cache.put(KEYS, dict(map=values, ids=torch.tensor([[70001], [2]])))
    found = cache.stack(KEYS, 'map')
    assert found.dtype == torch.float32
    assert ((found - values).abs() <= 2.**-11 * values.abs() + 2.**-25).all()
    assert (found - values).abs().max() > 0
    assert cache.stack(KEYS, 'ids').tolist() == [[70001], [2]]
    with pytest.raises(ValueError, match='The map hold values beyond 65504'):
        cache.put(['c'], dict(map=torch.tensor([[7e4]])))


def test_unknown_place():
    with pytest.raises(ValueError, match=r"cache='disc' is unknown; there are: 'auto', 'device', .*'disk' and None"):
        ImageCache('disc')


def test_samples_are_packed_without_loss():
    labels = torch.randint(0, 21, (1, 50, 60))
    labels[0, 0, 0] = 255
    sample = SegDataSample(metainfo=dict(img_path='a.jpg', split='val'), gt_sem_seg=PixelData(data=labels))
    packed = PackedSample.pack(sample)
    assert 'gt_sem_seg' not in packed.rest
    assert 'gt_sem_seg' in sample
    assert len(packed.labels) < labels.numel()  # 8 bytes each before
    for _ in range(2):
        found = packed.unpack('cpu')
        assert torch.equal(found.gt_sem_seg.data, labels)
        assert found.gt_sem_seg.data.dtype == torch.int64
        assert found.metainfo == sample.metainfo
    assert PackedSample.pack(packed.rest).unpack('cpu') is packed.rest


@pytest.mark.parametrize(('values', 'dtype'), [([0, 255], torch.uint8), ([-1, 3], torch.int16), ([0, 256], torch.int16),
                                               ([0, 40000], torch.int32), ([2**40], torch.int64)])
def test_integers_take_the_smallest_type(values, dtype):
    packed = pack_integers(torch.tensor(values))
    assert packed.dtype == dtype
    assert packed.long().tolist() == values

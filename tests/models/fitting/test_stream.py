import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, pseudo_collate
from torch.utils.data import DataLoader, Dataset

from leopart_mm.datasets import UnlabelledImages
from leopart_mm.engine.loops import FeatureStream
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.progress import progress
from tests.distributed import run_distributed


class Numbers(Dataset):

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return dict(inputs=torch.full((1, 2, 2), float(index)))


class Model:
    """Counts its passes; the feature is the image."""

    def __init__(self):
        self.backbone = torch.nn.Linear(1, 1)
        self.calls = 0

    def data_preprocessor(self, data, training):
        return dict(inputs=torch.stack(data['inputs']).float(), data_samples=data.get('data_samples'))

    def extract_batch(self, inputs, data_samples, requests):
        self.calls += 1
        assert not torch.is_grad_enabled()
        features = DenseFeatures((inputs[:, :1], ), (2, 2))
        return FeatureBatch(features, data_samples, [''] * len(inputs), [(0, 2, 0, 2)] * len(inputs))


def stream_of(length=5, **kwargs):
    data = Numbers(length)
    loader = DataLoader(data, batch_size=2, sampler=DefaultSampler(data, shuffle=False), collate_fn=pseudo_collate)
    return FeatureStream(Model(), loader, **kwargs)


def values(stream):
    return [float(image[0, 0, 0]) for batch in stream for image in batch.features.maps[0]]


@pytest.mark.parametrize(('cache', 'calls'), [(None, 6), ('memory', 3), ('disk', 3)])
def test_it_can_be_read_again(cache, calls):
    stream = stream_of(cache=cache)
    assert values(stream) == values(stream) == [0, 1, 2, 3, 4]
    assert stream.model.calls == calls
    assert len(stream) == 3


def test_images_without_a_path_get_distinct_names():
    names = [name for batch in stream_of() for name in batch.names]
    assert len(set(names)) == 5


def test_an_interrupted_pass_is_not_kept():
    stream = stream_of(cache='memory')
    next(iter(stream))
    assert values(stream) == [0, 1, 2, 3, 4]


def test_bad_settings():
    with pytest.raises(ValueError, match="there are: 'auto', 'device', 'memory', 'disk' and"):
        stream_of(cache='disc')
    with pytest.raises(ValueError, match='no batch'):
        FeatureStream(Model(), DataLoader(Numbers(1), batch_size=2, drop_last=True))


def test_progress_logs_a_few_lines(monkeypatch):
    lines = []
    monkeypatch.setattr('leopart_mm.progress.print_log', lambda text, logger: lines.append(text))
    assert list(progress(range(100), 'Reading', 100, lines=4)) == list(range(100))
    assert lines == ['Reading: 25/100', 'Reading: 50/100', 'Reading: 75/100', 'Reading: 100/100']


def _read(length):
    return values(stream_of(length))


@pytest.mark.slow
@pytest.mark.parametrize('length', [1, 4, 5])
def test_two_processes_read_every_image_once(length):
    parts = run_distributed(_read, 2, length)
    assert sorted(parts[0] + parts[1]) == list(range(length))


PIPELINE = [dict(type='leopart_mm.LoadImage'), dict(type='mmseg.PackSegInputs')]


def _folder_values(folder):
    """Grey values of the images that a stream over a folder gives, twice, and what it computed."""
    data = UnlabelledImages(folder, pipeline=PIPELINE)
    sampler = DefaultSampler(data, shuffle=False)  # repeats images to fill the last round
    loader = DataLoader(data, batch_size=2, sampler=sampler, collate_fn=pseudo_collate)
    stream = FeatureStream(Model(), loader, cache='memory')
    return values(stream), values(stream)


@pytest.mark.parametrize('damaged', [(1, ), (0, 4), (2, 3)])
def test_a_fit_sees_every_readable_image_once(damaged, tmp_path):
    for index in range(5):
        content = b'' if index in damaged else cv2.imencode('.png', np.full((2, 2, 3), 10 * index, np.uint8))[1]
        (tmp_path / f'{index}.png').write_bytes(content)
    expected = [10. * index for index in range(5) if index not in damaged]
    assert _folder_values(str(tmp_path)) == (expected, expected)
    for first, second in zip(*run_distributed(_folder_values, 2, str(tmp_path)), strict=True):
        assert sorted(first + second) == expected

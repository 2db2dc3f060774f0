import os
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.dataset import ConcatDataset, DefaultSampler, RepeatDataset, pseudo_collate
from torch.utils.data import DataLoader, Subset

from leopart_mm.clustering.token_sample import token_priorities
from leopart_mm.datasets.sample import write_sample
from leopart_mm.datasets.voc_layout import VOCLayoutDataset
from leopart_mm.models.fitting.sample_keys import SampleKeys, common_folder
from leopart_mm.models.fitting.stream import FeatureStream
from leopart_mm.registry import MODELS
from tests.models.backbones.builders import TINY


class Paths:
    """A data set of nothing but paths."""

    def __init__(self, *paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def get_data_info(self, index):
        return dict(img_path=self.paths[index])

    def __getitem__(self, index):
        return self.paths[index]


def keys_of(data, names):
    return [SampleKeys(data)(name) for name in names]


def test_keys_are_relative_to_the_deepest_common_folder():
    names = ['/d/voc/images/a/1.jpg', '/d/voc/images/b/1.jpg', '/d/voc/images/2.jpg']
    assert common_folder(names) == os.path.abspath('/d/voc/images')
    assert keys_of(Paths(*names), names) == ['a/1.jpg', 'b/1.jpg', '2.jpg']
    assert keys_of(Paths(names[0]), names[:1]) == ['1.jpg']


@pytest.mark.parametrize('spelling', ['{here}/x/{name}', 'x/{name}', 'x/../x/./{name}', '{here}/other/../x/{name}'])
def test_spellings_of_a_path_have_the_same_key(spelling):
    names = [spelling.format(here=os.getcwd(), name=name) for name in ('a.jpg', 'deep/b.jpg')]
    assert keys_of(Paths(*names), names) == ['a.jpg', 'deep/b.jpg']


def test_names_that_are_no_paths_of_the_data_set_stay():
    names = ['#3', '/elsewhere/a.jpg', '/dd/a.jpg']
    assert keys_of(Paths('/d/a.jpg'), names) == names
    assert keys_of([1, 2], ['/d/a.jpg', '']) == ['/d/a.jpg', '']


def test_equal_names_in_the_parts_of_a_joined_data_set_are_told_apart():
    first, second = Paths('/d/one/a.jpg', '/d/one/b.jpg'), Paths('/d/two/a.jpg')
    joined = torch.utils.data.ConcatDataset([first, second])
    assert keys_of(joined, ['/d/one/a.jpg', '/d/two/a.jpg']) == ['0/a.jpg', '1/a.jpg']
    # an image that is in two parts stays one image
    assert keys_of(torch.utils.data.ConcatDataset([first, first]), ['/d/one/a.jpg']) == ['a.jpg']
    assert keys_of(Subset(first, [1]), ['/d/one/b.jpg']) == ['b.jpg']


def test_names_that_are_not_utf8_have_priorities():
    name = os.fsdecode(b'caf\xe9.jpg')
    assert (token_priorities(0, name, 4) != token_priorities(0, 'caf.jpg', 4)).all()


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='leopart_mm.UnsupervisedSegmentor', data_preprocessor=dict(type='SegDataPreProcessor', _scope_='mmseg'),
        backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', model_kwargs=TINY),
        decode_head=dict(type='leopart_mm.OverclusterHead', num_clusters=5, seeds=1, pca_dim=4, niter=5, nredo=1,
                         num_samples=40)))
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.copy_(torch.randn_like(parameter) * .3 + (parameter.ndim == 1))
    return model.eval()


@pytest.fixture(scope='module')
def retrieval(model):
    head = dict(type='leopart_mm.RetrievalHead', num_classes=30, memory_size=24, k=3)
    return MODELS.build(dict(type='leopart_mm.RetrievalSegmentor', data_preprocessor=model.data_preprocessor,
                             backbone=model.backbone, decode_head=head)).eval()


def fitted(model, dataset):
    """Everything that the head keeps after fitting on a data set."""
    loader = DataLoader(dataset, 3, sampler=DefaultSampler(dataset, shuffle=False), collate_fn=pseudo_collate)
    model.fit(FeatureStream(model, loader))
    return {key: value for key, value in model.decode_head.state_dict().items() if value.is_floating_point()}


def sample_set(root):
    steps = [dict(type=f'mmseg.{name}') for name in ('LoadImageFromFile', 'LoadAnnotations', 'PackSegInputs')]
    return VOCLayoutDataset(str(root), split=('train', 'val'), pipeline=steps)


@pytest.mark.parametrize('name', ['model', 'retrieval'])
def test_where_the_data_lie_does_not_change_what_is_fitted(name, tmp_path, monkeypatch, request):
    model = request.getfixturevalue(name)
    write_sample(tmp_path / 'data', num_images=6, size=64)
    shutil.copytree(tmp_path / 'data', tmp_path / 'elsewhere' / 'copy')
    monkeypatch.chdir(tmp_path)
    expected = fitted(model, sample_set(tmp_path / 'data'))
    assert all(value.numel() for value in expected.values())
    for root in (Path('data'), Path('elsewhere/../data'), tmp_path / 'elsewhere' / 'copy'):
        found = fitted(model, sample_set(root))
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert torch.equal(found[key], value), (root, key)


def test_wrapped_data_sets_have_the_keys_of_the_data_set(tmp_path):
    write_sample(tmp_path, num_images=2, size=32)
    data = sample_set(tmp_path)
    name = data.get_data_info(0)['img_path']
    for wrapped in (data, RepeatDataset(data, 2), ConcatDataset([data])):
        assert keys_of(wrapped, [name]) == ['scene_00000.jpg']

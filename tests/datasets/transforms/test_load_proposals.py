"""Proposals in a training pipeline: the right map, moved with its image, and every stale one refused."""

import json
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset

from leopart_mm.datasets.transforms import LoadProposals, PackProposals
from leopart_mm.engine.hooks import ProposalsHook
from leopart_mm.registry import DATASETS, TRANSFORMS
from tests.apis.builders import write_images
from tests.apis.proposal_sources import Bands, Quadrants, network_of, proposal_config, propose


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """A folder of images with proposals, and the proposals."""
    folder = tmp_path_factory.mktemp('made')
    write_images(folder / 'in', ['a/1.png', '1.png', '2.png'], size=(30, 40))
    propose(folder / 'in', folder / 'out')
    return folder


@pytest.fixture
def copied(made, tmp_path):
    shutil.copytree(made, tmp_path / 'copy')
    return tmp_path / 'copy'


def training(folder, *steps, size=24, root='in', **options):
    """The data set that trains on the images and proposals of a folder."""
    pipeline = [dict(type='LoadImageFromFile'), dict(type='leopart_mm.ResizeShorterSide', size=size),
                dict(type='leopart_mm.CentreCrop', size=size),
                dict(type='leopart_mm.LoadProposals', folder=str(folder / 'out'), **options), *steps,
                dict(type='leopart_mm.PackProposals')]
    config = proposal_config(folder / root, pipeline).proposal_dataloader.dataset
    return DATASETS.build(dict(config, on_corrupt='raise'))


def stored(folder, name):
    return cv2.imread(str(folder / 'out' / 'proposals' / f'{name}.png'), cv2.IMREAD_UNCHANGED)


def test_each_image_gets_its_own_map(made):
    for sample, name in zip(training(made), ('1', '2', 'a/1'), strict=True):
        proposals = sample['data_samples'].proposals.data
        assert proposals.dtype == torch.uint8
        assert np.array_equal(proposals[0].numpy(), stored(made, name))
    assert not np.array_equal(stored(made, '1'), stored(made, 'a/1'))


def test_flips_and_crops_move_it_with_the_image(made):
    dataset = training(made, dict(type='mmseg.RandomFlip', prob=1.), dict(type='mmseg.RandomCrop', crop_size=(16, 16)))
    np.random.seed(3)
    sample = dataset[0]
    image, proposals = sample['inputs'].numpy(), sample['data_samples'].proposals.data[0].numpy()
    whole = training(made)[0]['inputs'].numpy()[:, :, ::-1]
    found = [(top, left) for top in range(9) for left in range(9)
             if np.array_equal(whole[:, top:top + 16, left:left + 16], image)]
    assert len(found) == 1
    top, left = found[0]
    assert np.array_equal(stored(made, '1')[:, ::-1][top:top + 16, left:left + 16], proposals)


def test_a_moved_data_set_and_cache_fit_each_other(copied):
    assert len(list(training(copied))) == 3
    sample = training(copied, root='in/a')[0]  # a part of the data set: its name has fewer folders there
    assert np.array_equal(sample['data_samples'].proposals.data[0].numpy(), stored(copied, 'a/1'))


@pytest.mark.parametrize(('options', 'words'), [
    (dict(size=16), r'1\.png are 24 x 24 pixels, but the image is 16 x 16'),
    (dict(size=16, check='size'), 'are 24 x 24 pixels, but the image is 16 x 16'),
])
def test_another_size_is_refused(made, options, words):
    with pytest.raises(ValueError, match=words):
        training(made, **options)[0]


def test_another_preparation_is_refused(made):
    dataset = training(made)
    dataset.pipeline.transforms.insert(3, TRANSFORMS.build(dict(type='mmcv.RandomFlip', prob=1.)))
    with pytest.raises(ValueError, match=r"1\.png is the image of its proposals .* but it was prepared otherwise"):
        dataset[0]
    dataset.pipeline.transforms[4].check = 'file'
    assert dataset[0]['data_samples'].proposals.data.shape == (1, 24, 24)


@pytest.mark.parametrize('check', ['pixels', 'file'])
def test_a_changed_image_is_refused(copied, check):
    cv2.imwrite(str(copied / 'in' / '2.png'), np.full((30, 40, 3), 77, np.uint8))
    dataset = training(copied, check=check)
    dataset[0]
    with pytest.raises(ValueError, match=r'in/2\.png has changed since its proposals .*generate_masks.py CONFIG --out'):
        dataset[1]
    assert training(copied, check='size')[1]


def test_a_spoilt_or_missing_file_is_refused(copied):
    file = copied / 'out' / 'proposals' / '1.png'
    file.write_bytes(file.read_bytes()[:-9])
    (copied / 'out' / 'proposals' / '2.png').unlink()
    write_images(copied / 'in', ['b.png'])
    dataset = training(copied)
    for index, words in ((0, r'1\.png is not as it was written: half-written or changed'), (1, r'2\.png .* are gone'),
                         (3, r'b\.png has no proposals in .* which holds those of 3 images')):
        path = dataset.get_data_info(index)['img_path']
        if path.endswith('b.png'):
            continue
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            dataset[index]
    numbers = [index for index in range(4) if dataset.get_data_info(index)['img_path'].endswith('in/b.png')]
    with pytest.raises(FileNotFoundError, match=words):
        dataset[numbers[0]]


def test_the_source_and_other_settings_must_be_those_of_the_record(made):
    assert training(made, source=Bands(dark=40))
    with pytest.raises(ValueError, match=r'are not those of this config: source\.dark was 40 and is 50'):
        training(made, source=Bands(dark=50))
    with pytest.raises(ValueError, match=r'source\.type was Bands and is Quadrants'):
        training(made, source=Quadrants())
    assert training(made, expect=dict(backbone=dict(patch_size=8)))
    with pytest.raises(ValueError, match=r'backbone\.patch_size was 8 and is 16'):
        training(made, expect=dict(backbone=dict(patch_size=16)))


def test_a_hook_compares_the_backbone(made):
    def train(seed, mean=120., **change):
        model = network_of(proposal_config(made / 'in'), seed)
        model.data_preprocessor.mean.fill_(mean)
        vars(model.backbone).update(change)
        dataset = ConcatDataset([training(made), training(made)])
        ProposalsHook().before_train(SimpleNamespace(train_dataloader=SimpleNamespace(dataset=dataset), model=model))

    train(0)
    train(0, with_cp=True)
    with pytest.raises(ValueError, match=r'not those of this config: backbone\.weights was'):
        train(1)
    with pytest.raises(ValueError, match=r'backbone\.out_indices was \[2\] and is \[1\]'):
        train(0, out_indices=(1, ))
    with pytest.raises(ValueError, match=r'normalise\.mean was'):
        train(0, mean=127.5)


def test_what_is_no_folder_of_proposals(made, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'holds no proposals\. Make them first'):
        LoadProposals(str(tmp_path))
    with pytest.raises(ValueError, match='check='):
        LoadProposals(str(made / 'out'), check='all')
    propose(made / 'in', tmp_path / 'boxes', Quadrants())
    with pytest.raises(ValueError, match="of the kind 'instances', not 'label map'"):
        LoadProposals(str(tmp_path / 'boxes'))
    with pytest.raises(KeyError, match='put LoadProposals before it'):
        PackProposals().transform(dict(img=np.zeros((2, 2, 3), np.uint8)))


def test_the_published_layout(made, tmp_path):
    """imgs/ and pseudos/, without any record."""
    for folder, array in (('imgs', np.full((24, 24, 3), 9, np.uint8)), ('pseudos', stored(made, '1'))):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / 'x.png'), array)
    step = LoadProposals(str(tmp_path / 'pseudos'), published=True)
    results = dict(img=np.zeros((24, 24, 3), np.uint8), img_path=str(tmp_path / 'imgs' / 'x.png'))
    assert np.array_equal(step.transform(results)['proposals'], stored(made, '1'))
    assert results['seg_fields'] == ['proposals']
    with pytest.raises(ValueError, match='are 24 x 24 pixels, but the image is 20 x 24'):
        step.transform(dict(results, img=np.zeros((20, 24, 3), np.uint8)))
    with pytest.raises(FileNotFoundError, match=r'there is no .*y\.png'):
        step.transform(dict(results, img_path='y.png'))
    with pytest.raises(ValueError, match='cannot be compared'):
        LoadProposals(str(tmp_path / 'pseudos'), source=Bands(), published=True)


def test_a_record_of_an_older_settings_key_is_stale(copied):
    """A run with --overwrite that was interrupted leaves no file of the settings before."""
    journal = copied / 'out' / 'proposals' / '.outputs.jsonl'
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text(''.join(json.dumps(line | dict(settings='other')) + '\n' for line in lines))
    with pytest.raises(ValueError, match='is not as it was written'):
        training(copied)[0]

"""PriMaPs' data: every base gives batches of squares on tiny copies of the data sets, the same with any workers."""

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

from leopart_mm.apis.generate_masks import ProposalRun
from leopart_mm.apis.proposal_images import build_images
from leopart_mm.engine.config import load_config
from leopart_mm.registry import DATASETS
from tests.apis.proposal_sources import Bands, network_of, proposal_config
from tests.paths import REPO

FOLDER = REPO / 'configs' / '_base_' / 'datasets'
SIZE = 28
CLASSES = {'cityscapes27': 27, 'coco-stuff27': 27, 'potsdam3': 3, 'msrc21': 21, 'voc': 21}
BASES = sorted(path for kind in ('primaps', 'kmeans') for path in (*FOLDER.glob(f'*_{kind}.py'),
                                                                  *FOLDER.glob(f'*_{kind}_322.py')))


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture(scope='session')
def roots(tmp_path_factory):
    """Three images of each data set in its converted layout; the label of a pixel can be read off its colour."""
    root, rng = tmp_path_factory.mktemp('primaps'), np.random.default_rng(0)
    for index in range(3):
        mask = rng.integers(0, 3, (5, 7), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        image = np.repeat(mask[..., None] * 100, 3, 2)
        city = f'a/a_{index:06d}_000019'
        for split in ('train', 'val'):
            save(root / f'cityscapes27/leftImg8bit/{split}/{city}_leftImg8bit.png', image)
            save(root / f'cityscapes27/gtFine27/{split}/{city}.png', mask)
            coco = root / 'coco-stuff27'
            save(coco / f'images/{split}2017/{index}.png', image)
            (coco / f'images/{split}2017/{index}.png').rename(coco / f'images/{split}2017/{index}.jpg')
            save(coco / f'annotations/stuff27/{split}2017/{index}.png', mask)
        save(root / f'potsdam3/images/{index}.png', image)
        save(root / f'potsdam3/annotations/{index}.png', mask)
        for name in ('msrc21', 'voc'):
            save(root / name / f'JPEGImages/{index}.png', image)
            for folder in ('SegmentationClass', 'SegmentationClassAug'):
                save(root / name / folder / f'{index}.png', mask)
    lists = [f'coco-stuff27/curated/{split}2017/Coco164kFull_Stuff_Coarse_7' for split in ('train', 'val')]
    lists += [f'potsdam3/labelled_{split}' for split in ('train', 'test')]
    lists += [f'{name}/ImageSets/Segmentation/{split}' for name in ('msrc21', 'voc')
              for split in ('train', 'trainaug', 'val')]
    for name in lists:
        (root / f'{name}.txt').parent.mkdir(parents=True, exist_ok=True)
        (root / f'{name}.txt').write_text('0\n1\n2\n')
    return root


def batches(loader, workers=0, batch_size=3):
    loader = loader.to_dict()
    loader.update(batch_size=batch_size, num_workers=workers, persistent_workers=False)
    loader.setdefault('sampler', dict(type='DefaultSampler', shuffle=False))
    with DefaultScope.overwrite_default_scope('mmseg'):
        return list(Runner.build_dataloader(loader, seed=5))


def labels(batch):
    return torch.stack([sample.gt_sem_seg.data[0] for sample in batch['data_samples']])


@pytest.mark.parametrize('path', BASES, ids=lambda path: path.stem)
def test_bases_are_what_their_names_say(path):
    name, kind, *rest = path.stem.split('_')
    cfg = load_config(path)
    side = int(rest[0]) if rest else 320
    for loader in filter(None, (cfg.train_dataloader, cfg.test_dataloader, cfg.val_dataloader,
                                cfg.proposal_dataloader)):
        sizes = [step.size for step in loader.dataset.pipeline if 'size' in step]
        assert sizes == [side, side]
    steps = [step.type.rpartition('.')[2] for step in cfg.train_dataloader.dataset.pipeline]
    drawn = ['LoadProposals', 'SegRandomFlip', 'DrawStudentAugmentation', 'PackProposals']
    assert [step for step in steps if step in drawn] == (drawn if kind == 'primaps' else [])
    assert (cfg.proposal_dataloader is not None) == (kind == 'primaps')
    assert cfg.train_dataloader.batch_size == (16 if name == 'msrc21' else 32)
    assert cfg.train_dataloader.drop_last
    assert cfg.train_dataloader.sampler == dict(type='leopart_mm.DrawSampler', shuffle=True)
    assert cfg.test_dataloader.batch_size == 16
    assert cfg.test_dataloader.dataset.split != cfg.train_dataloader.dataset.split
    published = load_config(path, dict(val_resize='aliased'))
    assert [step.method for step in published.test_dataloader.dataset.pipeline if 'method' in step] == ['aliased']
    if kind == 'primaps':
        folder, = [step.folder for step in load_config(path, dict(proposal_folder='x/y')).train_dataloader.dataset
                   .pipeline if 'folder' in step]
        assert folder == 'x/y'


@pytest.mark.parametrize('name', CLASSES)
def test_batches_of_squares(roots, name):
    options = dict(data_root=str(roots / name), size=SIZE)
    kmeans, em = (load_config(FOLDER / f'{name}_{kind}.py', options) for kind in ('kmeans', 'primaps'))
    train, = batches(kmeans.train_dataloader)
    test, = batches(em.test_dataloader)
    proposals, = batches(em.proposal_dataloader)
    for batch in (train, test, proposals):
        assert torch.stack(list(batch['inputs'])).shape == (3, 3, SIZE, SIZE)
        assert all(sample.ori_shape == ((SIZE, SIZE) if batch is test else (40, 56))
                   for sample in batch['data_samples'])
    assert labels(train).shape == labels(test).shape == (3, SIZE, SIZE)
    assert not hasattr(proposals['data_samples'][0], 'gt_sem_seg')
    order = [sample.img_path for sample in train['data_samples']]
    for image, sample in zip(proposals['inputs'], proposals['data_samples'], strict=True):
        assert torch.equal(image, train['inputs'][order.index(sample.img_path)])
    for batch in (train, test):  # pixels away from edges have the colour of their label
        images = torch.stack(list(batch['inputs']))[:, 0].float()
        assert ((images / 100 - labels(batch)).abs() < 0.01).float().mean() > 0.5
    if name not in ('msrc21', 'voc'):  # these have meta.json, or VOC's classes
        with DefaultScope.overwrite_default_scope('mmseg'):
            meta = DATASETS.build(em.test_dataloader.dataset.to_dict()).metainfo
        assert len(meta['classes']) == len(meta['palette']) == CLASSES[name]


def test_training_reads_proposals_and_draws_the_same_with_any_workers(roots, tmp_path):
    cfg = load_config(FOLDER / 'cityscapes27_primaps.py', dict(
        data_root=str(roots / 'cityscapes27'), size=SIZE, proposal_folder=str(tmp_path)))
    run = proposal_config(roots)
    run.proposal_dataloader = cfg.proposal_dataloader
    ProposalRun(network_of(run), Bands(), build_images(run), tmp_path).run()
    whole, = batches(cfg.train_dataloader)
    parts = batches(cfg.train_dataloader, workers=2, batch_size=1)
    single = [batch['data_samples'][0] for batch in parts]
    assert torch.equal(torch.stack(list(whole['inputs'])), torch.cat([torch.stack(list(b['inputs'])) for b in parts]))
    for sample, other in zip(whole['data_samples'], single, strict=True):
        assert sample.img_path == other.img_path
        assert torch.equal(sample.proposals.data, other.proposals.data)
        assert sample.proposals.data.shape == sample.gt_sem_seg.data.shape == (1, SIZE, SIZE)
        assert np.array_equal(sample.student_draws, other.student_draws)
        assert sample.student_draws.shape == (8, )
        stored = np.asarray(Image.open(tmp_path / 'proposals/leftImg8bit/train/a' /
                                       (sample.img_path.rpartition('/')[2])))
        assert np.array_equal(stored[:, ::-1] if sample.flip else stored, sample.proposals.data[0].numpy())


@pytest.mark.parametrize('kind', ['primaps', 'kmeans'])
def test_a_plain_folder_needs_no_labels(roots, kind):
    name = 'primaps_folder' if kind == 'primaps' else 'kmeans_folder'
    cfg = load_config(FOLDER / f'{name}.py', dict(data_root=str(roots / 'voc/JPEGImages'), size=SIZE))
    if kind == 'primaps':
        train, = batches(cfg.proposal_dataloader)
        steps = [step.type.rpartition('.')[2] for step in cfg.train_dataloader.dataset.pipeline]
        assert steps[-4:] == ['LoadProposals', 'SegRandomFlip', 'DrawStudentAugmentation', 'PackProposals']
    else:
        train, = batches(cfg.train_dataloader)
    assert torch.stack(list(train['inputs'])).shape == (3, 3, SIZE, SIZE)
    assert not any(hasattr(sample, 'gt_sem_seg') for sample in train['data_samples'])
    assert not any('Annotations' in step.type for step in cfg.train_dataloader.dataset.pipeline)
    test = batches(cfg.test_dataloader, batch_size=1)
    assert [tuple(batch['inputs'][0].shape) for batch in test] == [(3, SIZE, SIZE * 56 // 40)] * 3
    assert cfg.val_dataloader is cfg.val_cfg is None
    assert cfg.test_evaluator == []

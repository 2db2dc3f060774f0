"""Stages of MaskDistill's run: what decides each of them, and what is refused before the first one begins."""

import copy
import dataclasses
import functools
import gc
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from leopart_mm.apis import maskdistill_run
from leopart_mm.apis.image_catalogue import image_entries
from leopart_mm.apis.maskdistill_run import MaskDistillRun
from leopart_mm.apis.maskdistill_settings import load_chain
from leopart_mm.apis.pseudo_labels import LabelSettings
from leopart_mm.datasets.coco_json import write_coco, write_results
from leopart_mm.datasets.sample import write_sample
from leopart_mm.masks.crf import CRFSettings
from tests.paths import REPO

ROOM = REPO / 'configs' / 'maskdistill'
LISTS = 'ImageSets/Segmentation'


@pytest.fixture(scope='module')
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp('voc') / 'data'
    write_sample(folder, num_images=6, size=32)
    return folder


@pytest.fixture
def data(sample, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(sample, tmp_path / 'data')


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """MMEngine collects garbage for every data set, half a second each after mmseg's imports."""
    monkeypatch.setattr(gc, 'collect', lambda: 0)


@functools.cache
def chain_of(root, config):
    return load_chain(ROOM / f'{config}.py', dict(data_root=str(root)))


def run_of(root, folder, config='maskdistill_vit-tiny_voc-subset', chain=None, **changes):
    """A run with changes of its settings, and of its parts by dotted keys: reading configs again takes a second."""
    configs = chain_of(root, config)
    parts = copy.deepcopy(dict(configs.parts))
    for key, value in changes.items():
        part, _, name = key.partition('.')
        parts[part].merge_from_dict({name: value})
    settings = dataclasses.replace(configs.settings, **chain or {})
    return MaskDistillRun(dataclasses.replace(configs, settings=settings, parts=parts), folder)


def changed(before, after):
    """Names of the stages that run again by themselves, not for a stage before them."""
    own = [{stage.name: {key: value for key, value in stage.parts().items()
                         if not (key.startswith('input ') and hasattr(stage.inputs[key[6:]], 'parts'))}
            for stage in run.stages} for run in (before, after)]
    assert own[0].keys() == own[1].keys()
    return {name for name in own[0] if own[0][name] != own[1][name]}


def test_lists_of_segmentation_are_meant_where_those_of_detection_have_the_same_names(data, tmp_path):
    """As in VOC 2012 as it is downloaded."""
    expected = run_of(data, tmp_path / 'run')
    (data / 'ImageSets' / 'Main').mkdir()
    for name in ('train', 'val'):
        (data / 'ImageSets' / 'Main' / f'{name}.txt').write_text('other\n')
    found = run_of(data, tmp_path / 'run')
    assert found.detected.names == expected.detected.names
    assert changed(found, expected) == set()


def test_nothing_runs_again_for_another_folder_of_the_run_or_of_the_data(data, tmp_path, monkeypatch):
    expected = run_of(data, tmp_path / 'run')
    monkeypatch.chdir(shutil.copytree(data, tmp_path / 'copy') / 'JPEGImages')
    assert changed(expected, run_of('../', '../../other')) == set()


def test_every_change_of_the_data_or_an_option_reaches_the_stages_that_it_decides(data, tmp_path):
    def now(chain=None, **changes):
        return run_of(data, tmp_path / 'run', chain=chain, **changes)

    before = now()
    training = {'deeplab_0', 'deeplab_1'}
    assert changed(before, now(dict(crf=CRFSettings(iterations=3)), **{'detector.randomness.seed': 5})) == {
        'detector', 'predictions', 'labels_1'}
    changes = {'masks.proposals.topk': 0.3, 'clusters.mask_clusters.seed': 5, 'deeplab.train_cfg.max_epochs': 7}
    assert changed(before, now(dict(label_maps=LabelSettings(threshold=0.4)), **changes)) == {
        'masks', 'clusters', 'labels_0', *training}
    assert changed(before, now(**{'detector.model.test_cfg.rcnn.score_thr': 0.2})) == {'predictions'}
    assert changed(before, now(**{'deeplab.test_dataloader.dataset.pipeline.1.scale': (64, 64)})) == {
        'labels_1', 'scores_0', 'scores_1'}
    assert changed(before, now(**{f'{part}.num_workers': 1 for part in (
        'detector.train_dataloader', 'deeplab.train_dataloader', 'masks.proposal_dataloader')})) == set()

    truth = sorted((data / 'SegmentationClass').glob('*.png'))[0]
    labels = np.array(Image.open(truth))
    labels[:3] = 1
    Image.fromarray(labels).save(truth)
    edited = now()
    assert changed(before, edited) >= {'ground_truth', 'mask_scores'}
    assert not changed(before, edited) & {'masks', 'detector', *training}
    (data / LISTS / 'val.txt').write_text((data / LISTS / 'train.txt').read_text())
    listed = now()
    assert 'ground_truth' in changed(edited, listed)
    image = sorted((data / 'JPEGImages').iterdir())[0]
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(image)
    assert changed(listed, now()) >= {'masks', 'predictions', 'labels_0', 'labels_1'}


def test_a_best_checkpoint_depends_on_the_images_that_choose_it(data, tmp_path):
    options = {'deeplab.default_hooks.checkpoint.save_best': 'mIoU'}
    before = run_of(data, tmp_path / 'run', **options)
    name = (data / LISTS / 'val.txt').read_text().split()[0]
    file = data / 'SegmentationClass' / f'{name}.png'
    Image.fromarray(np.array(Image.open(file)) * 0).save(file)
    assert changed(before, run_of(data, tmp_path / 'run', **options)) >= {'deeplab_0', 'deeplab_1'}


def test_no_object_or_no_prediction_at_all_is_said_with_the_cure(sample, tmp_path, monkeypatch):
    run = run_of(sample, tmp_path)
    nothing = SimpleNamespace(masks=dict(a=0, b=0), empty=['a', 'b'], filled=[], corrupt=[])
    monkeypatch.setattr(maskdistill_run, 'generate_masks', lambda *args, **kwargs: nothing)
    with pytest.raises(ValueError, match=r'No image of .*JPEGImages has an object .* masks.proposals.center_keys=True'):
        run._make_masks(run.configs.parts['masks'], tmp_path / 'masks', {})
    images = image_entries(run.settings.images)
    for stage in ('predictions', 'labels_0'):
        (tmp_path / stage).mkdir()
    write_coco(tmp_path / 'predictions' / 'images.json', images, [], [])
    write_results(tmp_path / 'predictions' / 'predictions.json', [])
    with pytest.raises(ValueError, match=r'predicts nothing in any of 4 images.*lower detector.score_thr'):
        run._merge(tmp_path / 'labels_0', {})


def test_a_missing_list_is_named_with_the_cure(sample, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'trainaug.txt: --cfg-options chain.train_list=FILE names another'):
        run_of(sample, tmp_path, chain=dict(train_list=f'{LISTS}/trainaug.txt'))


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(class_maps='SegmentationClassAug'), r'ClassAug of the ground truth: .*ground_truth.class_maps=NAME'),
    (dict(objects='SegmentationObject'), r'objects=NAME names another \(components: those of the classes\)'),
    (dict(boxes='Annotations'), r'Annotations of the ground truth: .* chain.ground_truth=None does without'),
])
def test_missing_folders_of_a_ground_truth_are_named_before_anything_runs(sample, tmp_path, changes, message):
    truth = dataclasses.replace(chain_of(sample, 'maskdistill_vit-tiny_voc-subset').settings.ground_truth, **changes)
    with pytest.raises(FileNotFoundError, match=message):
        run_of(sample, tmp_path, chain=dict(ground_truth=truth))


def test_missing_data_are_named(sample, tmp_path):
    support = dict(support='masks_vit-tiny_voc-subset.py', support_root=str(tmp_path / 'VOC2007'))
    with pytest.raises(FileNotFoundError, match=r'no support set .*VOC2007/JPEGImages: .* support_root=FOLDER'):
        run_of(sample, tmp_path, chain=support)
    with pytest.raises(FileNotFoundError, match=r'no folder of images .*nowhere/JPEGImages: --images names the'):
        run_of(sample, tmp_path, chain=dict(data_root=str(tmp_path / 'nowhere')))


@pytest.mark.parametrize('name', ['report.html', 'scores.json', 'model.pth'])
def test_a_file_of_the_user_is_never_replaced(sample, tmp_path, name):
    folder = tmp_path / 'run'
    folder.mkdir()
    (folder / name).write_text('mine')
    with pytest.raises(ValueError, match=f'{name} would be replaced, but no run wrote it there'):
        run_of(sample, folder).run()
    assert [path.name for path in folder.iterdir() if not path.name.startswith('.')] == [name]


def test_missing_weights_of_late_parts_are_named_before_anything_runs(sample, tmp_path):
    weights = tmp_path / 'w.pth'
    weights.write_bytes(b'')
    here = {'masks.model.backbone.checkpoint': str(weights), 'clusters.model.backbone.checkpoint': 'timm://some.name'}
    config = 'maskdistill_dino-vits16_folder'
    with pytest.raises(FileNotFoundError, match=r'for the part detector: .* detector.checkpoint=FILE names yours'):
        run_of(sample / 'JPEGImages', tmp_path / 'run', config, **here).run()
    here['detector.model.backbone.checkpoint'] = None
    with pytest.raises(FileNotFoundError, match=r'for the part deeplab: .*; deeplab.checkpoint=None starts'):
        run_of(sample / 'JPEGImages', tmp_path / 'run', config, **here).run()
    assert not any(path.is_dir() for path in (tmp_path / 'run').iterdir())


def test_arrays_among_images_are_none(data, tmp_path):
    np.save(data / 'JPEGImages' / 'a.npy', np.zeros((32, 32, 3), np.uint8))
    run = run_of(data / 'JPEGImages', tmp_path / 'run', 'maskdistill_dino-vits16_folder')
    assert len(run.train_images.images) == 6
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match=r'There is no image in .*empty'):
        run_of(tmp_path / 'empty', tmp_path / 'run', 'maskdistill_dino-vits16_folder')


def test_a_run_among_its_images_hides_none_of_them(data):
    images = data / 'JPEGImages'
    (images / 'masks').mkdir()
    shutil.move(sorted(images.glob('*.*'))[0], images / 'masks')
    with pytest.raises(ValueError, match='would replace or hide the image'):
        run_of(images, images, 'maskdistill_dino-vits16_folder')

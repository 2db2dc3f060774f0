"""Mask R-CNN trains and predicts on a CPU with mmcv-lite, by the ordinary tools; a resumed run equals the whole one."""

import importlib.util
import json

import pytest
import torch

from leopart_mm.datasets.coco_json import read_coco
from leopart_mm.engine import cli
from leopart_mm.evaluation.coco_ap import average_precision
from tests.datasets.instance_scenes import write_instances
from tests.paths import REPO
from tests.tiny_detector import CONFIG, TINY
from tests.tools.running import run_tool

ITERATIONS, LR = 80, 0.02


def options(file, **more):
    values = {**TINY, 'data_root': file.parent / 'images', 'ann_file': file, 'iterations': ITERATIONS, 'lr': LR,
              'default_hooks.checkpoint.interval': ITERATIONS // 2, **more}
    return ['--cfg-options', *(f'{key}={value}'.replace(' ', '') for key, value in values.items())]


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_instances(tmp_path_factory.mktemp('detector') / 'scenes', 24)


@pytest.fixture
def tool(monkeypatch, capsys):

    def run(name, *arguments):
        status, out, err = run_tool(monkeypatch, capsys, name, *arguments)
        assert status == 0, err or out
        return out + err
    return run


def ap50(file, predictions):
    truth = read_coco(file)
    found = json.loads(predictions.read_text())
    return average_precision(truth.images, truth.annotations, found, [0, 1], 'segm')['AP50'], found


def test_training_finds_the_objects_and_resumes_exactly(tool, tmp_path, scenes):
    whole = tmp_path / 'whole'
    tool('train.py', CONFIG, '--work-dir', whole, *options(scenes))
    text = tool('test.py', CONFIG, whole / f'iter_{ITERATIONS}.pth', '--out', tmp_path / 'listed', '--work-dir',
                tmp_path / 'test', *options(scenes, test_ann_file=scenes, **{
                    'test_evaluator.type': 'leopart_mm.InstanceMetric', 'test_evaluator.ann_file': scenes}))
    assert 'images: 24.0' in text
    score, found = ap50(scenes, tmp_path / 'listed' / 'predictions.json')
    assert f'multi (all predictions): AP50 {100 * score:.2f} %' in text
    assert f'multi/AP50: {100 * score:.4f}' in text
    assert score > 0.4, 'random weights score 0'
    by_image = {}
    for entry in found:
        by_image.setdefault(entry['image_id'], []).append(entry['score'])
    assert all(each == sorted(each, reverse=True) and len(each) <= 10 for each in by_image.values())
    assert list(by_image) == sorted(by_image)

    # on the folder alone: the same predictions under the names of the files
    tool('test.py', CONFIG, whole / f'iter_{ITERATIONS}.pth', '--out', tmp_path / 'folder', '--work-dir',
         tmp_path / 'test', '--show-dir', tmp_path / 'pictures', *options(scenes))
    named = json.loads((tmp_path / 'folder' / 'predictions.json').read_text())
    assert [dict(entry, image_id=int(entry['image_id'][:3]) + 1) for entry in named] == found
    assert len(list((tmp_path / 'pictures').rglob('*.jpg')) + list((tmp_path / 'pictures').rglob('*.png'))) == 24

    resumed = tmp_path / 'resumed'
    tool('train.py', CONFIG, '--work-dir', resumed, '--resume', whole / f'iter_{ITERATIONS // 2}.pth',
         *options(scenes))
    states = [torch.load(folder / f'iter_{ITERATIONS}.pth', weights_only=False)['state_dict']
              for folder in (whole, resumed)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_a_config_says_at_once_that_mmdetection_is_missing(monkeypatch, capsys, scenes):
    monkeypatch.setattr(cli, 'find_spec', lambda name: None if name == 'mmdet' else importlib.util.find_spec(name))
    for config in (CONFIG, next(REPO.glob('configs/leopart/decoders/mask2former*.py'))):
        status, out, err = run_tool(monkeypatch, capsys, 'train.py', config)
        assert status
        assert f"{config} needs MMDetection, which is not installed: pip install 'leopart_mm[mmdet]'." in err + out

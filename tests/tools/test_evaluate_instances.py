"""tools/evaluate_instances.py and the tools that make its ground truths, on tiny files."""

import json

import numpy as np
import pytest

from leopart_mm.datasets.coco_json import read_coco, write_coco, write_results
from leopart_mm.files import write_image_whole, write_text_whole
from tests.evaluation.test_instance_ap import BIG, SMALL, TRUTH, thing
from tests.tools.running import run_tool


@pytest.fixture
def tool(monkeypatch, capsys):
    return lambda name, *arguments: run_tool(monkeypatch, capsys, name, *arguments)


def test_scores_and_what_is_left_out(tool, tmp_path):
    write_coco(tmp_path / 'gt.json', TRUTH.images, TRUTH.annotations, TRUTH.categories)
    write_results(tmp_path / 'found.json', [thing('a', 0, BIG, score=0.9), thing('a', 1, SMALL, score=0.8),
                                            thing('c', 0, SMALL, score=0.7)])
    status, out, _ = tool('evaluate_instances.py', tmp_path / 'found.json', '--gt', tmp_path / 'gt.json', '--json',
                          tmp_path / 'scores.json')
    assert status == 0
    assert 'multi (all predictions): AP50 75.25 %' in out
    assert 'single (the most certain prediction per image): AP50 100.00 %' in out
    assert '1 images without a prediction, left out with their objects (b.jpg)' in out
    assert '1 images with a prediction but without an object, which counts as wrong (c.jpg)' in out
    assert 'Categories count as the classes of the same id (direct).' in out
    scores = json.loads((tmp_path / 'scores.json').read_text())
    assert scores['scores']['multi']['AP50'] == pytest.approx(0.7525, abs=1e-4)
    status, out, _ = tool('evaluate_instances.py', tmp_path / 'found.json', '--gt', tmp_path / 'gt.json',
                          '--most-confident', '--agnostic', '--published-ids')
    assert status == 0
    assert out.count('AP50') == 1
    assert 'classes left aside): AP50 0.00 %' in out  # the only match is with the first object
    (tmp_path / 'found.json').write_text('[{"image_id": "a", ')
    status, _, err = tool('evaluate_instances.py', tmp_path / 'found.json', '--gt', tmp_path / 'gt.json')
    assert status
    assert 'found.json is no whole JSON: it is cut off at byte' in err


def test_converters(tool, tmp_path):
    maps = np.array([[0, 1, 1], [0, 1, 1], [0, 0, 0]], np.uint8)
    for folder in ('SegmentationClass', 'SegmentationObject'):
        write_image_whole(tmp_path / folder / 'a.png', maps)
    write_image_whole(tmp_path / 'JPEGImages/a.jpg', np.zeros((3, 3, 3), np.uint8))
    write_text_whole(tmp_path / 'ImageSets/Main/instance.txt', 'a  1\n')
    status, out, err = tool('dataset_converters/voc_to_coco.py', tmp_path, '--split', 'instance', '--out',
                            tmp_path / 'gt.json')
    assert status == 0, err
    assert '1 objects of SegmentationObject, in 1 images' in out
    assert read_coco(tmp_path / 'gt.json').annotations[0]['area'] == 4
    assert tool('dataset_converters/voc_to_coco.py', tmp_path, '--split', 'instance', '--out', tmp_path / 'old.json',
                '--published', '--agnostic')[0] == 0
    old = read_coco(tmp_path / 'old.json')
    assert (old.annotations[0]['id'], old.images[0]['file_name']) == (0, 'a')
    assert isinstance(old.annotations[0]['segmentation'], list)
    status, out, err = tool('dataset_converters/image_list.py', tmp_path, '--list', 'instance', '--out',
                            tmp_path / 'images.json')
    assert status == 0, err
    assert read_coco(tmp_path / 'images.json').images == [dict(id='a', file_name='a.jpg', height=3, width=3)]
    write_text_whole(tmp_path / 'list.txt', 'train2014/a.jpg\n')
    status, out, err = tool('dataset_converters/coco20k.py', tmp_path / 'gt.json', '--list', tmp_path / 'list.txt',
                            '--out', tmp_path / 'coco')
    assert status == 0, err
    assert read_coco(tmp_path / 'coco/instances_selected_agnostic.json').annotations[0]['category_id'] == 0
    status, _, err = tool('dataset_converters/voc_to_coco.py', tmp_path, '--split', 'trainaug', '--out',
                          tmp_path / 'gt2.json')
    assert status
    assert 'There is no list trainaug' in err

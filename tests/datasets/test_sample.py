"""The generated scenes: reproducible, consistent, complete, and of no use to someone who knows colours only."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from leopart_mm.datasets import VOCLayoutDataset
from leopart_mm.datasets.sample import CLASSES, PALETTE, draw_scene, part_names, textures, write_sample
from tests.paths import REPO


def test_scene_is_reproducible():
    first, again = draw_scene(96, np.random.default_rng(5)), draw_scene(96, np.random.default_rng(5))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (first.image != draw_scene(96, np.random.default_rng(6)).image).any()
    assert first.image.shape == (96, 96, 3)
    assert first.image.dtype == first.classes.dtype == first.parts.dtype == np.uint8
    with pytest.raises(ValueError, match='32 pixels'):
        draw_scene(16, np.random.default_rng(0))


def test_parts_belong_to_their_class():
    names = part_names()
    owner = np.array([0, *(CLASSES.index(name.split('/')[0]) for name in names[1:])])
    for seed in range(20):
        scene = draw_scene(96, np.random.default_rng(seed))
        np.testing.assert_array_equal(owner[scene.parts], scene.classes)


def test_every_class_and_part_occurs():
    scenes = [draw_scene(96, np.random.default_rng((0, index))) for index in range(40)]
    assert set(np.unique([scene.classes for scene in scenes])) == set(range(len(CLASSES)))
    assert set(np.unique([scene.parts for scene in scenes])) == set(range(len(part_names())))
    background = np.mean([(scene.classes == 0).mean() for scene in scenes])
    assert 0.4 < background < 0.8


def test_brightness_does_not_tell_the_class():
    """The light differs so much between scenes that classes explain less than a tenth of an object's brightness."""
    brightness, labels = [], []
    for seed in range(150):
        scene = draw_scene(64, np.random.default_rng(seed))
        for label in np.unique(scene.classes[scene.classes > 0]):
            brightness.append(scene.image[scene.classes == label].mean())
            labels.append(label)
    brightness, labels = np.array(brightness), np.array(labels)
    within = sum(((brightness[labels == label] - brightness[labels == label].mean())**2).sum() for label in set(labels))
    assert 1 - within / ((brightness - brightness.mean())**2).sum() < 0.1


@pytest.mark.parametrize('name', ['stripes', 'checks', 'dots', 'rings', 'bricks', 'zigzag', 'crosses', 'spokes'])
def test_patterns_show_both_colours(name):
    x, y = np.meshgrid(np.linspace(-3, 3, 121), np.linspace(-3, 3, 121))
    amount = getattr(textures, name)(x, y)
    assert amount.min() == 0
    assert amount.max() == 1
    assert 0.1 < amount.mean() < 0.9


def test_written_in_voc_layout(tmp_path):
    assert write_sample(tmp_path, num_images=5, size=48, seed=3, val_share=0.4) == dict(train=3, val=2)
    dataset = VOCLayoutDataset(str(tmp_path), split='val')
    assert tuple(dataset.metainfo['classes']) == CLASSES
    assert [tuple(colour) for colour in dataset.metainfo['palette']] == list(PALETTE)
    scene = draw_scene(48, np.random.default_rng((3, 3)))
    info = dataset.get_data_info(0)
    np.testing.assert_array_equal(np.array(Image.open(info['seg_map_path'])), scene.classes)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / 'SegmentationPart/scene_00003.png')), scene.parts)
    assert np.abs(np.array(Image.open(info['img_path'])).astype(int) - scene.image).mean() < 12
    assert json.loads((tmp_path / 'meta.json').read_text())['parts'] == part_names()
    with pytest.raises(ValueError, match='at least 2'):
        write_sample(tmp_path, num_images=1)
    with pytest.raises(ValueError, match='val_share'):
        write_sample(tmp_path, val_share=1.)


@pytest.mark.slow
def test_command_line(tmp_path):
    command = [sys.executable, 'tools/generate_sample.py', str(tmp_path / 'out'), '--images', '4', '--size', '40']
    result = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    assert '3 training and 1 validation images of 40 x 40' in result.stdout
    assert len(list((tmp_path / 'out/JPEGImages').iterdir())) == 4


def test_a_killed_generation_is_no_data_set_of_two_sizes(tmp_path, monkeypatch):
    write_sample(tmp_path, 4, 32)
    scenes = []

    def kill(*args):
        scenes.append(draw_scene(*args))
        if len(scenes) == 3:
            raise KeyboardInterrupt
        return scenes[-1]

    monkeypatch.setattr('leopart_mm.datasets.sample.writer.draw_scene', kill)
    with pytest.raises(KeyboardInterrupt):
        write_sample(tmp_path, 4, 48)
    assert not list((tmp_path / 'ImageSets' / 'Segmentation').iterdir())
    monkeypatch.undo()
    assert write_sample(tmp_path, 4, 48) == dict(train=3, val=1)
    assert Image.open(tmp_path / 'JPEGImages' / 'scene_00003.jpg').size == (48, 48)

"""tools/segment_folder.py --fit as a person with a folder runs it, with a random ViT-Ti at 64 x 64."""

import json
import re

import cv2
import numpy as np
import pytest
import timm
import torch
from PIL import Image

from leopart_mm.datasets.sample import write_sample
from leopart_mm.evaluation.label_writer import read_labels
from tests.tools.running import run_tool

QUICK = ('--cfg-options', 'image_size=64,64', 'test_dataloader.num_workers=0', 'test_cfg.fit_dataloader.num_workers=0',
         'model.decode_head.pca_dim=8')


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp('folder')
    write_sample(root / 'data', 6, 96, seed=0)
    (root / 'data' / 'JPEGImages').rename(root / 'images')
    torch.manual_seed(0)
    torch.save(timm.create_model('vit_tiny_patch16_224', depth=12).state_dict(), root / 'vit.pth')
    return root


@pytest.fixture
def fit(place, monkeypatch, capsys):

    def run(images, out, *arguments, options=QUICK):
        return run_tool(monkeypatch, capsys, 'segment_folder.py', images, '--fit', '--out', out, '--backbone',
                        place / 'vit.pth', '--arch', 'vit_tiny_patch16_224', *arguments, *options)

    return run


def labels_of(out):
    return {path.stem: read_labels(path) for path in sorted((out / 'labels').rglob('*.png'))}


def test_a_folder_then_again_then_with_a_new_image(place, fit, tmp_path, passes):
    folder = tmp_path / 'in'
    folder.mkdir()
    images = sorted((place / 'images').iterdir())
    for image in images[:4]:
        (folder / image.name).write_bytes(image.read_bytes())
    (folder / 'tiny.png').write_bytes(cv2.imencode('.png', np.full((5, 7, 3), 90, np.uint8))[1])  # below a patch
    (folder / 'damaged.jpg').write_bytes(b'\xff\xd8\xff')
    (folder / 'notes.txt').write_text('')
    status, out, error = fit(folder, tmp_path / 'out', '--clusters', '5')
    assert status == 0, error
    assert sum(passes.values()) == 5  # features of the fit serve the label maps; none stands in for the damaged file
    assert '5 images segmented, 1 other files skipped, 1 images could not be read: ' in out
    assert 'damaged.jpg' in out
    assert re.search(r'Label maps of 5 images: \d of 5 labels occur.* no ground truth to score with', out)
    found = labels_of(tmp_path / 'out')
    assert {name: labels.shape for name, labels in found.items()} == {
        'tiny': (5, 7), **{image.stem: (96, 96) for image in images[:4]}}
    assert {'fitted.pth', 'names.yaml', 'overlays', 'clusters.html', 'legend.png', 'report.json'} <= {
        path.name for path in (tmp_path / 'out').iterdir()}
    (folder / images[5].name).write_bytes(images[5].read_bytes())
    status, out, error = fit(folder, tmp_path / 'out', '--clusters', '5')
    assert status == 0, error
    assert 'which was fitted with these settings before' in out + error
    assert '1 images segmented' in out
    assert '5 label maps existed already' in out
    again = labels_of(tmp_path / 'out')
    assert all(np.array_equal(again[name], labels) for name, labels in found.items())
    status, out, error = fit(folder, tmp_path / 'out', '--clusters', '6')
    assert status == 1
    assert 'was fitted with other settings (clusters): choose another folder, or fit again with --overwrite' in error
    status, out, error = fit(folder, tmp_path / 'out', '--clusters', '6', '--overwrite')
    assert status == 0, error
    assert '6 images segmented' in out


def test_smooth_and_blocks(place, fit, tmp_path):
    maps = {}
    image = sorted((place / 'images').iterdir())[0]  # a single one
    for segments in ('smooth', 'blocks'):
        status, _, error = fit(image, tmp_path / segments, '--clusters', '4', '--segments', segments)
        assert status == 0, error
        maps[segments] = np.stack(list(labels_of(tmp_path / segments).values()))
    cells = maps['blocks'].reshape(1, 4, 24, 4, 24)
    assert (cells == cells[:, :, :1, :, :1]).all()
    cells = maps['smooth'].reshape(1, 4, 24, 4, 24)
    assert (cells != cells[:, :, :1, :, :1]).any()
    assert np.mean(maps['smooth'] == maps['blocks']) > 0.5


def test_examples_of_colours(place, fit, tmp_path):
    masks = sorted((place / 'data' / 'SegmentationClass').glob('*.png'))[:3]
    (tmp_path / 'examples').mkdir()
    for mask in masks:
        image = next((place / 'images').glob(f'{mask.stem}.*'))
        Image.open(image).convert('RGB').save(tmp_path / 'examples' / f'{mask.stem}.jpg')
        object_ = np.asarray(Image.open(mask)) > 0
        Image.fromarray(np.where(object_[..., None], np.uint8([200, 0, 0]), np.uint8(9))).save(
            tmp_path / 'examples' / mask.name)
    (tmp_path / 'examples' / 'legend.txt').write_text('background 9 9 9\nthing 200 0 0\n')
    status, out, error = fit(place / 'images', tmp_path / 'out', '--examples', tmp_path / 'examples', '--crf',
                             '--export', 'coco', options=QUICK[:-1])
    assert status == 0, error
    assert '6 images, 1 categories.' in out  # the background is none
    assert [category['name'] for category in json.loads(
        (tmp_path / 'out' / 'exports' / 'coco.json').read_text())['categories']] == ['thing']
    assert set(np.unique(np.stack(list(labels_of(tmp_path / 'out').values())))) <= {0, 1}
    names = (tmp_path / 'out' / 'names.yaml').read_text()
    assert '"name": "background", "colour": "#090909"' in names
    assert '\nbackground: [0]\n' in names
    assert '"name": "thing", "colour": "#c80000"' in names
    (tmp_path / 'examples' / 'legend.txt').write_text('background 9 9 9\n')
    status, _, error = fit(place / 'images', tmp_path / 'other', '--examples', tmp_path / 'examples')
    assert status == 1
    assert 'holds colours that' in error.splitlines()[-1]
    assert '#c80000' in error.splitlines()[-1]


def test_what_cannot_be_fitted_is_said(place, fit, tmp_path, monkeypatch, capsys):
    (tmp_path / 'empty').mkdir()
    status, _, error = fit(tmp_path / 'empty', tmp_path / 'out')
    assert status == 1
    assert 'There is no image in' in error.splitlines()[-1]
    image = sorted((place / 'images').iterdir())[0]
    status, _, error = fit(image, tmp_path / 'out', '--clusters', '50')  # 16 patches
    assert status == 1
    assert 'k-means cannot make 50 clusters of 16 points: lower num_clusters' in error.splitlines()[-1]
    for arguments, words in ((('--clusters', '5'), '--clusters: this is for fitting on the images; add --fit'),
                             (('--checkpoint', 'x.pth', '--cfg-options', 'num_clusters=5'),
                              '--cfg-options: this is for fitting on the images; add --fit'),
                             ((), 'Name a fitted model by --checkpoint, or fit one on these images by --fit')):
        status, _, error = run_tool(monkeypatch, capsys, 'segment_folder.py', image, '--out', tmp_path / 'x',
                                    *arguments)
        assert status == 1
        assert words in error


def test_objects_lie_on_a_background(place, fit, tmp_path):
    status, out, error = fit(place / 'images', tmp_path / 'out', '--objects', options=(
        *QUICK, 'num_clusters=12', 'model.decode_head.num_clusters=20', 'model.postprocessors.communities.seeds=1',
        'model.postprocessors.communities.weight_threshold=0.001'))
    assert status == 0, error
    assert '6 images segmented' in out
    names = (tmp_path / 'out' / 'names.yaml').read_text()
    assert '\nbackground: [0]\n' in names
    assert '0: {"name": "background"' in names
    found = np.stack(list(labels_of(tmp_path / 'out').values()))
    assert found.max() < names.count('"name"') <= 14  # each of the 13 clusters by itself, and 0

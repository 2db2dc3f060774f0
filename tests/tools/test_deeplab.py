"""DeepLab of MaskDistill from the command line: train, test with CRF, label and segment images, probe, resume."""

import json
import re
import shutil

import cv2
import numpy as np
import pytest
import torch

from leopart_mm.datasets.sample import write_sample
from tests.paths import REPO
from tests.tools.running import run_tool

CONFIGS = REPO / 'configs' / 'maskdistill'
TINY = ['size=[32,32]', 'num_workers=0', 'model.backbone.model_kwargs.img_size=32', 'arch=vit_tiny_patch16_224',
        'model.backbone.model_kwargs.embed_dim=16', 'model.backbone.model_kwargs.num_heads=2', 'embed_dims=16',
        'model.decode_head.channels=8', 'num_classes=6', 'epochs=2', 'batch_size=2', 'checkpoint=None']


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Images in VOC's folders with true labels, and maps of their training images as a run writes them."""
    root = tmp_path_factory.mktemp('voc')
    write_sample(root, num_images=8, size=40)
    meta = json.loads((root / 'meta.json').read_text())
    shutil.copytree(root / 'SegmentationClass', root / 'maps' / 'labels')
    shutil.copy(root / 'ImageSets' / 'Segmentation' / 'train.txt', root / 'maps' / 'images.txt')
    return root, len(meta['classes'])


def options(root, classes, *more):
    given = [option for option in TINY if not option.startswith(tuple(f'{one.split("=")[0]}=' for one in more))]
    return ['--cfg-options', *given, f'num_classes={classes}', f'data_root={root}', *more]


def scored(output):
    """The first score that was printed."""
    return re.search(r'mIoU [0-9.]+', output)[0]


def weights(file):
    return torch.load(file, weights_only=False)['state_dict']


def test_from_label_maps_to_labels_of_new_images(place, tmp_path, monkeypatch, capsys):
    root, classes = place

    def run(tool, *arguments, expect=0):
        status, out, error = run_tool(monkeypatch, capsys, tool, *arguments)
        assert status == expect, out[-3000:] + error[-3000:]
        return out + error

    config, maps = CONFIGS / 'deeplab_vit-tiny_voc-subset.py', f'label_folder={root / "maps"}'
    work = tmp_path / 'work'
    run('train.py', config, '--work-dir', work, *options(root, classes, maps))
    trained = work / 'epoch_2.pth'
    scores = run('test.py', config, trained, '--work-dir', tmp_path / 'scores', '--show-dir', tmp_path / 'pictures',
                 '--out', tmp_path / 'out', *options(root, classes, maps))
    assert f'{classes} classes' in scores
    assert len(list((tmp_path / 'pictures').rglob('scene_*.png'))) == 2
    assert len(list((tmp_path / 'out').rglob('*.png'))) == 2
    sharpened = run('test.py', config, trained, '--work-dir', tmp_path / 'crf',
                    *options(root, classes, maps, 'crf=True'))
    assert 'mIoU' in sharpened

    # The same network as its authors release theirs.
    released = tmp_path / 'model.pth.tar'
    torch.save({f'module.{key.replace("decode_head.layers.", "head.")}': value
                for key, value in weights(trained).items()}, released)
    again = run('test.py', config, released, '--work-dir', tmp_path / 'released', *options(root, classes, maps))
    assert scored(again) == scored(scores)
    labelled = ['--images', root / 'JPEGImages', '--no-crf', '--labels-at', 'network', '--out']
    run('label_images.py', trained, *labelled, tmp_path / 'ours')
    run('label_images.py', released, *labelled, tmp_path / 'theirs', '--config', work / config.name)
    for file in (tmp_path / 'ours' / 'labels').glob('*.png'):
        assert file.read_bytes() == (tmp_path / 'theirs' / 'labels' / file.name).read_bytes()

    # The checkpoint carries its config: folders and label maps of the next round need nothing else.
    run('label_images.py', trained, '--images', root / 'JPEGImages', '--list',
        root / 'ImageSets' / 'Segmentation' / 'train.txt', '--out', tmp_path / 'round1', '--workers', 0)
    names = (root / 'ImageSets' / 'Segmentation' / 'train.txt').read_text().split()
    assert (tmp_path / 'round1' / 'images.txt').read_text().split() == names
    label = cv2.imread(str(tmp_path / 'round1' / 'labels' / f'{names[0]}.png'), cv2.IMREAD_UNCHANGED)
    assert label.shape == (40, 40)
    assert label.max() < classes
    run('segment_folder.py', root / 'JPEGImages', '--checkpoint', trained, '--out', tmp_path / 'segmented')
    assert len(list((tmp_path / 'segmented').rglob('*.png'))) == 8

    # A probe on top of it, stopped after an epoch and resumed, is the probe that ran through.
    probe = CONFIGS / 'linear_vit-tiny_voc-subset.py'
    given = options(root, classes, f'checkpoint={trained}', 'lr=0.05')
    saved = 'default_hooks.checkpoint.interval=1'
    run('train.py', probe, '--work-dir', tmp_path / 'whole', *given, saved)
    shutil.copytree(tmp_path / 'whole', tmp_path / 'part')
    (tmp_path / 'part' / 'epoch_2.pth').unlink()
    (tmp_path / 'part' / 'last_checkpoint').write_text(str(tmp_path / 'part' / 'epoch_1.pth'))
    run('train.py', probe, '--work-dir', tmp_path / 'part', '--resume', *given, saved)
    base, whole, part = (weights(file) for file in (
        trained, tmp_path / 'whole' / 'epoch_2.pth', tmp_path / 'part' / 'epoch_2.pth'))
    changed = [key for key, value in whole.items() if not torch.equal(value, base[key])]
    assert changed == ['decode_head.layers.4.weight', 'decode_head.layers.4.bias']
    assert all(torch.equal(value, part[key]) for key, value in whole.items())
    assert whole['decode_head.layers.4.weight'].abs().max() < 0.5 < 100 * np.abs(base[changed[0]].numpy()).max()
    run('test.py', probe, tmp_path / 'whole' / 'epoch_2.pth', '--work-dir', tmp_path / 'scores2', *given)
    said = run('train.py', config, '--work-dir', tmp_path / 'none', *options(root, classes, maps, 'batch_size=7'),
               expect=1)
    assert '6 images are fewer than a batch of 7' in said
    said = run('train.py', probe, '--work-dir', tmp_path / 'none', *options(root, classes, 'load_from=None'), expect=1)
    assert 'A linear probe needs the trained network' in said

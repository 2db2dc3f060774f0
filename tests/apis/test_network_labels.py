"""Labels of a trained network, with and without CRF: worked out step by step, resumed, by other processes."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from leopart_mm.apis import LeopartInferencer
from leopart_mm.apis.network_labels import LabelRun, label_images
from leopart_mm.evaluation.label_writer import read_labels
from leopart_mm.masks.crf import CRFSettings, dense_crf
from tests.apis.builders import config, fitted_checkpoint, trained_checkpoint, write_images

CRF = CRFSettings(iterations=2)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    return trained_checkpoint(tmp_path_factory.mktemp('trained') / 'trained.pth')


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / 'in', ['a.png', 'sub/b.jpg', 'c.png'], size=(20, 30))
    return tmp_path / 'in'


def logits_of(inferencer, path):
    """(5, 32, 32), by mmseg's own steps."""
    image = cv2.resize(cv2.imread(str(path)), (32, 32), interpolation=cv2.INTER_LINEAR)
    data = inferencer.model.data_preprocessor(dict(inputs=[torch.from_numpy(image.transpose(2, 0, 1))]))
    with torch.no_grad():
        found = inferencer.model.encode_decode(data['inputs'], [dict(img_shape=(32, 32))])
    return F.interpolate(found, (32, 32), mode='bilinear', align_corners=False)[0]


def test_labels_with_a_crf_are_those_of_its_steps(trained, images, tmp_path):
    inferencer = LeopartInferencer(*trained, device='cpu')
    report = LabelRun(inferencer, tmp_path / 'out', CRF).run(images)
    assert (report.num_done, report.corrupt) == (3, [])
    assert (tmp_path / 'out' / 'images.txt').read_text().split() == ['a', 'c', 'sub/b']
    changed = 0
    for name in ('a.png', 'sub/b.jpg'):
        logits, image = logits_of(inferencer, images / name), torch.from_numpy(cv2.imread(str(images / name)))
        found = read_labels((tmp_path / 'out' / 'labels' / name).with_suffix('.png'))
        assert found.shape == (20, 30)
        assert np.array_equal(found, dense_crf(logits, image, CRF).argmax(0))
        changed += (found != F.interpolate(logits[None], (20, 30), mode='bilinear')[0].argmax(0).numpy()).sum()
    assert changed > 10  # the CRF has an effect


def test_labels_without_a_crf(trained, images, tmp_path):
    inferencer = LeopartInferencer(*trained, device='cpu')
    LabelRun(inferencer, tmp_path / 'image').run(images)
    LabelRun(inferencer, tmp_path / 'network', labels_at='network').run(images)
    logits = logits_of(inferencer, images / 'a.png')
    own = read_labels(tmp_path / 'image' / 'labels' / 'a.png')
    assert np.array_equal(own, F.interpolate(logits[None], (20, 30), mode='bilinear')[0].argmax(0))
    published = read_labels(tmp_path / 'network' / 'labels' / 'a.png')
    small = logits.argmax(0).numpy().astype(np.uint8)
    assert np.array_equal(published, cv2.resize(small, (30, 20), interpolation=cv2.INTER_NEAREST))
    assert (own != published).any()
    assert np.array_equal(own, inferencer.segment(images / 'a.png').labels)
    with pytest.raises(ValueError, match="labels_at='patch' is unknown"):
        LabelRun(inferencer, tmp_path / 'network', labels_at='patch')


def test_workers_and_a_kill_change_nothing(trained, images, tmp_path, monkeypatch):
    checkpoint, cfg = trained
    label_images(checkpoint, images, tmp_path / 'whole', cfg, CRF, device='cpu')
    (images / 'broken.png').write_bytes(b'no image')
    inferencer = LeopartInferencer(checkpoint, cfg, device='cpu')
    run, keep, calls = LabelRun(inferencer, tmp_path / 'out', CRF), None, []
    keep = run.files.keep

    def keep_once(*args):
        if calls:
            raise KeyboardInterrupt
        calls.append(args)
        keep(*args)

    monkeypatch.setattr(run.files, 'keep', keep_once)
    with pytest.raises(KeyboardInterrupt):
        run.run(images)
    report = LabelRun(inferencer, tmp_path / 'out', CRF, workers=1).run(images)
    assert (report.num_present, report.num_done) == (1, 2)
    assert 'broken.png' in report.summary()
    for name in ('a', 'c', 'sub/b'):
        files = [(tmp_path / folder / 'labels' / f'{name}.png').read_bytes() for folder in ('out', 'whole')]
        assert files[0] == files[1]
    assert (tmp_path / 'out' / 'images.txt').read_text() == (tmp_path / 'whole' / 'images.txt').read_text()
    with pytest.raises(ValueError, match=r'labels of another network, or made with another CRF.*--overwrite'):
        LabelRun(inferencer, tmp_path / 'out')
    assert LabelRun(inferencer, tmp_path / 'out', overwrite=True).run(images).num_replaced == 3


def test_pixels_without_data_are_ignored(trained, tmp_path):
    inferencer = LeopartInferencer(*trained, device='cpu')
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.float32)
    image[:4] = np.nan
    for name, crf in (('plain', None), ('crf', CRF)):
        LabelRun(inferencer, tmp_path / name, crf).run([image])
        found = read_labels(tmp_path / name / 'labels' / 'image_0.png')
        assert (found[:4] == 255).all()
        assert found[4:].max() < 5


def test_models_without_logits_are_refused(images, tmp_path):
    fitted = fitted_checkpoint(tmp_path / 'fitted.pth')
    with pytest.raises(ValueError, match='UnsupervisedSegmentor, gives labels, but no logits of its 4 classes'):
        label_images(fitted, images, tmp_path / 'out', config(), device='cpu')

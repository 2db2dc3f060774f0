"""The probes of STEGO and HP: values by hand, a whole evaluation from one file, and what is refused."""

import pytest
import torch
import torch.nn.functional as F

from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.models.decode_heads import ProbeHead
from leopart_mm.models.segmentors import UnsupervisedSegmentor
from tests.checkpoints.code_layouts import CLASSES, EXTRA, hp, primaps, random, stego
from tests.models.backbones.builders import TINY


def test_values_by_hand():
    clusters = torch.tensor([[3., 4.], [0., 2.]])
    code = torch.tensor([5., 0.]).view(1, 2, 1, 1)  # cosines 0.6 and 0
    head = ProbeHead(2, {'cluster_probe.clusters': clusters})
    head.fit([])
    torch.testing.assert_close(head([code]).flatten(), torch.tensor([1.2, 0.]).log_softmax(0))
    head = ProbeHead(2, {'cluster_probe.clusters': clusters}, alpha=3.)
    head.fit([])
    torch.testing.assert_close(head([code]).flatten(), torch.tensor([1.8, 0.]).log_softmax(0))
    linear = {'linear_probe.weight': clusters[..., None, None], 'linear_probe.bias': torch.tensor([1., 2.])}
    head = ProbeHead(2, linear, 'linear')
    head.fit([])
    torch.testing.assert_close(head([code]).flatten(), torch.tensor([16., 2.]))


def model(path, probe, num_clusters):
    return UnsupervisedSegmentor(
        backbone=dict(type='leopart_mm.DenseViT', model_kwargs=TINY, checkpoint=path),
        neck=dict(type='leopart_mm.CodeHead', checkpoint=path),
        decode_head=dict(type='leopart_mm.ProbeHead', checkpoint=path, probe=probe, num_clusters=num_clusters)).eval()


def clusters_of(file):
    return file['state_dict']['cluster_probe.clusters'] if 'state_dict' in file else (
        file['cluster_model_state_dict']['clusters'])


@pytest.mark.parametrize(('file', 'probe', 'num_clusters'), [
    (stego(), 'cluster', CLASSES + EXTRA), (stego(), 'linear', CLASSES), (hp(), 'cluster', CLASSES),
    (hp(), 'linear', CLASSES)])
def test_one_file_segments_images(file, probe, num_clusters, tmp_path):
    torch.save(file, tmp_path / 'run.ckpt')
    source = model(str(tmp_path / 'run.ckpt'), probe, num_clusters)
    source.init_weights()
    source.fit(())
    images = torch.randn(2, 3, 32, 40)
    samples = source.predict(images)
    code = source.extract_feat(images)[0]
    if probe == 'cluster':
        expected = torch.einsum('bdhw,kd->bkhw', F.normalize(code, dim=1), F.normalize(clusters_of(file), dim=1))
    else:
        expected = F.conv2d(code, random(CLASSES, 6, 1, 1, seed=22), random(CLASSES, seed=23))
    assert torch.equal(torch.cat([sample.pred_clusters.data for sample in samples]), expected.argmax(1))
    assert samples[0].pred_sem_seg.shape == (32, 40)
    assert samples[0].num_clusters == num_clusters
    (tmp_path / 'run.ckpt').unlink()  # a fitted checkpoint is complete
    again = model(str(tmp_path / 'run.ckpt'), probe, num_clusters)
    again.load_state_dict(source.state_dict())
    assert torch.equal(again.predict(images)[1].pred_sem_seg.data, samples[1].pred_sem_seg.data)


@pytest.mark.parametrize(('checkpoint', 'kwargs', 'message'), [
    (stego(), {}, r'The cluster probe of .* has 6 labels: set num_clusters=6'),
    ({key: value for key, value in hp().items() if key != 'cluster_model_state_dict'}, {}, 'holds no cluster probe'),
    ({key: value for key, value in hp().items() if key != 'linear_model_state_dict'}, dict(probe='linear'),
     'holds no linear probe'),
    (primaps(), {}, 'holds prototypes with gains'),
    (None, {}, 'needs checkpoint=FILE of a STEGO or HP run'),
])
def test_probes_that_are_not_there(checkpoint, kwargs, message):
    with pytest.raises(BackboneCheckpointError, match=message):
        ProbeHead(CLASSES, checkpoint, **kwargs).fit([])


def test_maps_of_another_width_and_unknown_probes():
    head = ProbeHead(CLASSES, hp())
    head.fit([])
    with pytest.raises(ValueError, match='reads 6 channels, but the map has 32: set neck='):
        head([torch.zeros(1, 32, 2, 2)])
    with pytest.raises(ValueError, match="probe='mlp' is unknown"):
        ProbeHead(CLASSES, hp(), 'mlp')

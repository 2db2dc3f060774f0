import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.registry import MODELS as MMSEG_MODELS
from mmseg.structures import SegDataSample
from torch import nn

import leopart_mm.models  # noqa: F401
from leopart_mm.geometry.patch_grid import upsample_labels
from leopart_mm.models.decode_heads import NotFittedError
from leopart_mm.models.postprocessors import BasePostprocessor
from leopart_mm.models.segmentors import UnsupervisedSegmentor
from leopart_mm.registry import MODELS


class Patches(nn.Module):
    """Mean colour of each 4x4 patch; a stand-in for a ViT."""

    patch_size = 4
    size_mode = 'pad'

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, image):
        height, width = (-(-side // 4) * 4 for side in image.shape[-2:])
        image = nn.functional.pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2]))
        return (nn.functional.avg_pool2d(image, 4) * self.scale, )


@MODELS.register_module(force=True)
class MergePairs(BasePostprocessor):
    """Labels 0, 1 -> 0; 2, 3 -> 1; remembers what it was fitted on."""

    num_labels = 2

    def fit(self, stream):
        self.seen = [batch.labels.shape for batch in stream] + [batch.labels.shape for batch in stream]

    def forward(self, labels, features, data_samples):
        return labels // 2


def segmentor(**kwargs):
    head = dict(type='leopart_mm.OverclusterHead', num_clusters=4, seeds=2, pca_dim=None, nredo=20, niter=10)
    return UnsupervisedSegmentor(**dict(dict(backbone=Patches(), decode_head=head), **kwargs)).eval()


def image():
    """(1, 3, 12, 16): quarters of 4 colours, split at row 8 and column 4."""
    colours = torch.tensor([[0., 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]])
    groups = torch.zeros(12, 16, dtype=torch.long)
    groups[8:] += 2
    groups[:, 4:] += 1
    return colours[groups].permute(2, 0, 1)[None], groups


def sample_of(**meta):
    return SegDataSample(metainfo=meta)


def fitted(**kwargs):
    model = segmentor(**kwargs)
    inputs, _ = image()
    model.fit([model.extract_batch(inputs, [sample_of(img_path='a.jpg')])])
    return model


def partition(labels):
    return (labels.flatten()[:, None] == labels.flatten()).int()


def test_fields_of_a_prediction():
    model = fitted()
    inputs, groups = image()
    sample, = model.predict(inputs, [sample_of(img_path='a.jpg', ori_shape=(24, 32), img_shape=(12, 16))])
    assert sample.pred_clusters.data.shape == (2, 3, 4)
    assert sample.pred_sem_seg.data.shape == (1, 24, 32)
    assert sample.metainfo['num_clusters'] == 4
    assert sample.metainfo['cluster_seeds'] == (0, 1)
    assert sample.metainfo['cluster_extent'] == (0, 3, 0, 4)
    large = groups.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(partition(sample.pred_sem_seg.data), partition(large))
    assert 'seg_logits' not in sample


def test_padding_of_batch_and_of_patches_is_removed():
    model = fitted()
    inputs, groups = image()
    padded = nn.functional.pad(inputs[..., :10, :13], (4, 7, 0, 6), value=50.)
    meta = dict(img_path='a.jpg', ori_shape=(10, 13), img_padding_size=(4, 7, 0, 6))
    sample, = model.predict(padded, [sample_of(**meta)])
    assert sample.pred_clusters.data.shape == (2, 3, 4)
    assert sample.metainfo['cluster_extent'] == (0, 2.5, 0, 3.25)
    # whole patches of the image: unspoilt by padding, and upsampled to the pixels they cover
    assert torch.equal(partition(sample.pred_sem_seg.data[0, :8, :12]), partition(groups[:8, :12]))
    expected = upsample_labels(sample.pred_clusters.data[:1], (10, 13), (0, 2.5, 0, 3.25))
    assert torch.equal(sample.pred_sem_seg.data, expected)


def test_without_samples_the_input_size_is_taken():
    sample, = fitted().predict(image()[0][..., :10])
    assert sample.pred_sem_seg.data.shape == (1, 12, 10)


def test_postprocessors_are_fitted_on_labels_before_them_and_applied():
    model = fitted(postprocessors=[dict(type='leopart_mm.MergePairs')])
    assert model.postprocessors[0].seen == [(2, 1, 3, 4)] * 2
    sample, = model.predict(image()[0])
    assert sample.metainfo['num_clusters'] == 2
    assert sample.pred_sem_seg.data.max() == 1


def test_errors_say_what_to_do():
    model = segmentor()
    with pytest.raises(NotFittedError, match=r'FitTestLoop.*fit\(stream\)'):
        model.predict(image()[0])
    with pytest.raises(NotImplementedError, match='no loss'):
        model(image()[0], [sample_of()], mode='loss')
    with pytest.raises(NotImplementedError, match='flipped'):
        fitted().predict(image()[0], [sample_of(flip=True)])
    attentive = segmentor(postprocessors=[dict(type='leopart_mm.MergePairs')])
    attentive.postprocessors[0].needs_attention = True
    with pytest.raises(TypeError, match='DenseViT'):
        attentive.extract_dense(image()[0])


def test_dense_vit_gives_attention_where_a_stage_needs_it():
    backbone = dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', model_kwargs=dict(depth=1, img_size=32))
    model = segmentor(backbone=backbone, postprocessors=[dict(type='leopart_mm.MergePairs')])
    assert model.extract_dense(torch.zeros(1, 3, 32, 32)).cls_attention is None
    model.postprocessors[0].needs_attention = True
    assert model.extract_dense(torch.zeros(1, 3, 32, 32)).cls_attention.shape == (1, 3, 4)


def test_head_works_in_mmsegs_own_encoder_decoder():
    head = segmentor().decode_head
    maps = Patches()(image()[0])
    ours = fitted()
    model = MMSEG_MODELS.build(ConfigDict(
        type='EncoderDecoder',
        backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', model_kwargs=dict(depth=1)),
        decode_head=dict(type='leopart_mm.OverclusterHead', num_clusters=4, seeds=2, pca_dim=None),
        test_cfg=dict(mode='whole')))
    assert not head.is_fitted
    model.backbone = ours.backbone
    model.decode_head.load_state_dict(ours.decode_head.state_dict())
    sample, = model.predict(image()[0])
    assert sample.pred_sem_seg.data.shape == (1, 12, 16)
    assert torch.equal(partition(ours.decode_head(maps).argmax(1)), partition(ours.decode_head.predict_labels(maps)[0]))
    assert isinstance(sample.pred_sem_seg, PixelData)

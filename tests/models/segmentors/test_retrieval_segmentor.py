import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from leopart_mm.geometry.patch_grid import upsample_scores
from leopart_mm.models.decode_heads import NotFittedError
from leopart_mm.models.segmentors import RetrievalSegmentor
from tests.models.segmentors.test_unsupervised_segmentor import Patches, image


def segmentor(**kwargs):
    return RetrievalSegmentor(
        backbone=Patches(), decode_head=dict(type='leopart_mm.RetrievalHead', num_classes=4, k=1, **kwargs)).eval()


def fitted(**kwargs):
    """Filled from an image of four colours; the black quarter, whose features are 0, is void."""
    model = segmentor(**kwargs)
    inputs, groups = image()
    labels = groups.masked_fill(groups == 0, 255)
    sample = SegDataSample(metainfo=dict(img_path='a.jpg'), gt_sem_seg=PixelData(data=labels[None]))
    model.fit([model.extract_batch(inputs, [sample])])
    return model


def test_pixels_get_the_class_of_the_nearest_patch():
    model = fitted()
    assert model.is_fitted
    assert model.num_labels == 4
    inputs, groups = image()
    sample, = model.predict(inputs.flip(3), [SegDataSample(metainfo=dict(ori_shape=(24, 32)))])
    wanted = groups.flip(1).repeat_interleave(2, 0).repeat_interleave(2, 1)
    inside = wanted > 0
    assert sample.pred_sem_seg.data.shape == (1, 24, 32)
    assert (sample.pred_sem_seg.data[0][inside] == wanted[inside]).float().mean() > 0.95  # interpolated borders
    assert 'pred_clusters' not in sample


def test_pixels_are_the_argmax_of_interpolated_soft_labels_without_padding():
    model = fitted()
    inputs, _ = image()
    meta = dict(ori_shape=(10, 13), img_padding_size=(0, 3, 0, 2))
    sample, = model.predict(inputs, [SegDataSample(metainfo=meta)])
    scores = model.decode_head(Patches()(inputs))[0]
    assert scores.shape == (4, 3, 4)
    expected = upsample_scores(scores, (12, 16)).argmax(0)[:10, :13]
    assert torch.equal(sample.pred_sem_seg.data[0], expected)


def test_errors_say_what_to_do():
    inputs, _ = image()
    with pytest.raises(NotFittedError, match='RetrievalHead is not fitted'):
        segmentor().predict(inputs)
    with pytest.raises(NotImplementedError, match='flipped'):
        fitted().predict(inputs, [SegDataSample(metainfo=dict(flip=True))])
    model = segmentor()
    batch = model.extract_batch(inputs, [SegDataSample(metainfo=dict(img_path='a.jpg'))])
    with pytest.raises(ValueError, match=r'a\.jpg has no labels'):
        model.fit([batch])


def test_head_works_in_mmsegs_own_encoder_decoder():
    from mmengine.config import ConfigDict
    from mmseg.registry import MODELS
    ours = fitted()
    model = MODELS.build(ConfigDict(
        type='EncoderDecoder',
        backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', model_kwargs=dict(depth=1)),
        decode_head=dict(type='leopart_mm.RetrievalHead', num_classes=4, k=1), test_cfg=dict(mode='whole')))
    assert isinstance(model, nn.Module)
    model.backbone = ours.backbone
    model.decode_head.load_state_dict(ours.decode_head.state_dict())
    theirs, = model.predict(image()[0])
    assert torch.equal(theirs.pred_sem_seg.data, ours.predict(image()[0])[0].pred_sem_seg.data)

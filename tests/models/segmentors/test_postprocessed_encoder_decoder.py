"""PostprocessedEncoderDecoder: a CRF behind a trained segmentor."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmseg.structures import SegDataSample

from leopart_mm.masks.crf import CRFSettings, dense_crf
from leopart_mm.registry import MODELS

SIZE = (30, 40)


def build(**kwargs):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(ConfigDict(
            type='leopart_mm.PostprocessedEncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True),
            backbone=dict(type='leopart_mm.DenseResNet', depth=18, base_channels=8, stem_channels=8, output_stride=8),
            decode_head=dict(type='leopart_mm.DeepLabHead', in_channels=64, channels=8, num_classes=3),
            train_cfg=dict(), test_cfg=dict(mode='whole'), **kwargs)).eval()
    with torch.no_grad():  # labels of all kinds, and none of them sure
        features = model.decode_head.layers[:-1](model.backbone(torch.randn(8, 3, 32, 32))[0])
        centred = features - features.mean((0, 2, 3), keepdim=True)
        spread = centred.std((0, 2, 3)).clamp(min=1e-6)
        weight = torch.randn(3, len(spread)) / spread
        model.decode_head.classifier.weight.copy_(weight[..., None, None])
        model.decode_head.classifier.bias.copy_(-weight @ features.mean((0, 2, 3)))
    return model


CRF = dict(crf=dict(type='leopart_mm.DenseCRF', iterations=3))


@pytest.fixture
def batch(tmp_path):
    """An image file, resized to 32 x 32 for the network."""
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    inputs = torch.from_numpy(cv2.resize(image, (32, 32))).permute(2, 0, 1)
    meta = dict(img_path=str(tmp_path / 'a.png'), ori_shape=SIZE, img_shape=(32, 32))

    def make():
        return dict(inputs=[inputs, inputs], data_samples=[SegDataSample(metainfo=dict(meta)) for _ in range(2)])

    return make, image


def test_labels_are_those_of_the_crf_at_the_size_of_the_image(batch):
    make, image = batch
    plain, model = build(), build(postprocessors=CRF)
    without, found = plain.test_step(make())[0], model.test_step(make())
    assert torch.equal(found[0].seg_logits.data, without.seg_logits.data)
    rgb = torch.from_numpy(image[..., ::-1].copy())
    small = plain.encode_decode(plain.data_preprocessor(make())['inputs'], [dict(img_shape=(32, 32))])[0]
    expected = dense_crf(F.interpolate(small[None], SIZE, mode='bilinear')[0].detach(), rgb, CRFSettings(iterations=3))
    for sample in found:
        assert torch.equal(sample.pred_sem_seg.data, expected.argmax(0)[None])
    assert not torch.equal(found[0].pred_sem_seg.data, without.pred_sem_seg.data)


def test_validation_leaves_the_stages_out(batch):
    make, _ = batch
    plain, model = build(), build(postprocessors=CRF)
    assert torch.equal(model.val_step(make())[0].pred_sem_seg.data, plain.test_step(make())[0].pred_sem_seg.data)
    assert model.runs_stages


def test_a_checkpoint_is_that_of_mmsegs_segmentor():
    assert build(postprocessors=CRF).state_dict().keys() == build().state_dict().keys()


def test_what_cannot_work_is_refused(batch):
    make, _ = batch
    model = build(postprocessors=CRF)
    data = make()
    for sample in data['data_samples']:
        sample.set_metainfo(dict(ori_shape=(32, 32)))
    with pytest.raises(ValueError, match=r'has 32 x 32 pixels, the image 30 x 40.*KeepNetworkSize'):
        model.test_step(data)
    data = make()
    data['data_samples'] = [SegDataSample(metainfo=dict(ori_shape=SIZE, img_shape=(32, 32))) for _ in range(2)]
    with pytest.raises(ValueError, match='names no file'):
        model.test_step(data)
    with pytest.raises(ValueError, match="'cbfe' works on a patch grid"):
        build(postprocessors=dict(cbfe=dict(type='leopart_mm.CBFE', masks=dict(type='leopart_mm.AttentionMasks'))))

"""Small fitted models and images for the inferencer."""

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.utils import register_all_modules

from leopart_mm.engine.fitted_checkpoint import save_fitted_checkpoint
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.registry import MODELS
from tests.models.backbones.builders import TINY

MEAN = [123.675, 116.28, 103.53]


def config(num_clusters=4, bands=3, seeds=1, resize=(32, 32)):
    """Config of a tiny DenseViT with an OverclusterHead."""
    mean = (MEAN * bands)[:bands]
    steps = [] if resize is None else [dict(type='Resize', scale=resize, keep_ratio=False)]
    return Config(dict(
        default_scope='mmseg',
        custom_imports=dict(imports=['leopart_mm'], allow_failed_imports=False),
        model=dict(
            type='leopart_mm.UnsupervisedSegmentor',
            backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', model_kwargs=TINY, in_chans=bands,
                          checkpoint='weights/that/are/not/here.pth'),
            decode_head=dict(type='leopart_mm.OverclusterHead', num_clusters=num_clusters, seeds=seeds, pca_dim=4,
                             niter=5, nredo=1),
            data_preprocessor=dict(type='SegDataPreProcessor', mean=mean, std=[58.] * bands, bgr_to_rgb=bands == 3)),
        test_dataloader=dict(dataset=dict(pipeline=[
            dict(type='LoadImageFromFile'), *steps, dict(type='LoadAnnotations'),
            dict(type='PackSegInputs')]))))


def fitted_checkpoint(path, **kwargs):
    """Fit a tiny model on noise and save it."""
    cfg = config(**kwargs)
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=None)).eval()
    bands = cfg.model.backbone.in_chans
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + (parameter.ndim == 1))
    model.backbone._awaits_weights = False
    images = torch.randn(40, bands, 32, 32)
    features = model.backbone.forward_dense(images)
    model.fit([FeatureBatch(features, None, [str(index) for index in range(len(images))], [(0, 4, 0, 4)] * 40)])
    save_fitted_checkpoint(model, path, cfg)
    return path


@MODELS.register_module(force=True)
class BrightnessSegmentor(BaseSegmentor):
    """Each pixel by itself: label = value of the first band // step. Tiles cannot differ from the whole."""

    is_fitted = True

    def __init__(self, backbone=None, step=1, data_preprocessor=None, num_labels=512, **kwargs):
        super().__init__(data_preprocessor=data_preprocessor or dict(type='mmseg.SegDataPreProcessor'))
        self.step = step
        self.num_labels = num_labels
        self.sizes = []

    def predict(self, inputs, data_samples=None):
        self.sizes.append(tuple(inputs.shape[-2:]))
        for image, sample in zip(inputs, data_samples, strict=True):
            sample.pred_sem_seg = PixelData(data=(image[:1] // self.step).long())
        return data_samples

    def loss(self, *args):
        raise NotImplementedError

    _forward = encode_decode = extract_feat = loss


def stub_config(bands=3, **kwargs):
    """Config of a BrightnessSegmentor, without resizing."""
    return Config(dict(
        default_scope='mmseg',
        model=dict(type='leopart_mm.BrightnessSegmentor', backbone=dict(in_chans=bands), **kwargs),
        test_pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]))


def write_images(folder, names, size=(24, 40), seed=0):
    """Random pictures; returns them as OpenCV reads them."""
    rng = np.random.default_rng(seed)
    images = []
    for name in names:
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), image)
        images.append(image)
    return images


def trained_config():
    """A small segmentor of mmseg, whose network sees 32 x 32 pixels."""
    return Config(dict(
        default_scope='mmseg',
        model=dict(
            type='EncoderDecoder', pretrained=None,
            backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4, strides=(1, 2, 1, 1),
                          dilations=(1, 1, 1, 1)),
            decode_head=dict(type='FCNHead', in_channels=32, channels=8, num_convs=1, num_classes=5, in_index=3,
                             align_corners=False),
            data_preprocessor=dict(type='SegDataPreProcessor', mean=MEAN, std=[58.] * 3, bgr_to_rgb=True),
            train_cfg=dict(), test_cfg=dict(mode='whole')),
        test_pipeline=[dict(type='LoadImageFromFile'), dict(type='Resize', scale=(32, 32), keep_ratio=False),
                       dict(type='LoadAnnotations'), dict(type='PackSegInputs')]))


def trained_checkpoint(path):
    """A `trained_config` model of random weights; returns its file and config."""
    register_all_modules(init_default_scope=False)
    cfg = trained_config()
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    model.init_weights()
    torch.nn.init.normal_(model.decode_head.conv_seg.weight, std=2)
    torch.save(dict(state_dict=model.state_dict()), path)
    return path, cfg

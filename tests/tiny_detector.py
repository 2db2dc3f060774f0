"""The Mask R-CNN of the configs, so small that it trains in seconds on a CPU."""

from leopart_mm.engine.config import load_config
from leopart_mm.registry import MODELS
from tests.paths import REPO

CONFIG = REPO / 'configs' / 'maskdistill' / 'mask-rcnn_r50_folder.py'
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
# A ResNet-18 of an eighth of the width on pictures of 64 pixels.
TINY = {
    'num_classes': 2, 'checkpoint': None, 'widths': [8, 16, 32, 64], 'channels': 16, 'frozen_stages': -1,
    'short_sides': [64], 'test_short_side': 64, 'long_side': 96, 'batch_size': 4, 'num_workers': 0, 'max_per_img': 10,
    'model.backbone.depth': 18, 'model.backbone.base_channels': 8, 'model.backbone.stem_channels': 8,
    'model.roi_head.bbox_head.fc_out_channels': 64, 'model.rpn_head.anchor_generator.scales': [4],
    'model.train_cfg.rpn_proposal.max_per_img': 50, 'model.test_cfg.rpn.max_per_img': 50,
    'model.train_cfg.rpn.sampler.num': 64, 'model.train_cfg.rcnn.sampler.num': 32,
}


def tiny_config(**options):
    """The config of a folder of pictures with the tiny model; more options as for `load_config`."""
    return load_config(CONFIG, {**TINY, **options})


def tiny_detector(**options):
    """The tiny model, within MMDetection's scope."""
    return MODELS.build(tiny_config(**options).model)

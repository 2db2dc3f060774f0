"""Settings of a detectron2 YAML reach the places of our Mask R-CNN configs."""

import pytest

from leopart_mm.engine.config import load_config
from leopart_mm.engine.detectron2_options import detectron2_options
from tests.paths import REPO
from tests.tools.running import run_tool

BASE = """
MODEL:
  META_ARCHITECTURE: GeneralizedRCNN
  MASK_ON: True
  PIXEL_MEAN: [103.0, 116.0, 123.0]
  PIXEL_STD: [1.0, 1.0, 1.0]
  BACKBONE: {NAME: build_resnet_fpn_backbone, FREEZE_AT: 2}
  RESNETS: {DEPTH: 50, NORM: FrozenBN, STRIDE_IN_1X1: True}
  ROI_HEADS: {NUM_CLASSES: 80}
SOLVER: {BASE_LR: 0.01, MAX_ITER: 90000}
"""
FILE = """
_BASE_: "base.yaml"
DATASETS:
  TRAIN: ("voc_masks",)
INPUT:
  MIN_SIZE_TRAIN: (480, 800)
  MAX_SIZE_TRAIN: 1200
  MIN_SIZE_TEST: 640
MODEL:
  BACKBONE: {FREEZE_AT: 0}
  ROI_HEADS: {NUM_CLASSES: 20, SCORE_THRESH_TEST: 0.1, NMS_THRESH_TEST: 0.4}
  RPN: {NMS_THRESH: 0.6}
TEST: {DETECTIONS_PER_IMAGE: 50}
SOLVER:
  IMS_PER_BATCH: 8
  STEPS: (6000, 8000)
  MAX_ITER: 9000
  WARMUP_ITERS: 50
OUTPUT_DIR: out
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / 'base.yaml').write_text(BASE)
    (tmp_path / 'voc.yaml').write_text(FILE)
    return tmp_path / 'voc.yaml'


def check(cfg):
    assert (cfg.train_cfg.max_iters, cfg.optim_wrapper.optimizer.lr, cfg.train_dataloader.batch_size) == (9000, 0.01, 8)
    assert cfg.param_scheduler[0]['end'] == 50
    assert list(cfg.param_scheduler[1]['milestones']) == [6000, 8000]
    heads = cfg.model.roi_head
    assert heads.bbox_head.num_classes == heads.mask_head.num_classes == cfg.train_dataloader.dataset.num_classes == 20
    assert cfg.model.test_cfg.rcnn == dict(score_thr=0.1, nms=dict(type='nms', iou_threshold=0.4), max_per_img=50,
                                           mask_thr_binary=0.5)
    assert cfg.model.train_cfg.rpn_proposal.nms.iou_threshold == cfg.model.test_cfg.rpn.nms.iou_threshold == 0.6
    backbone = cfg.model.backbone
    assert (backbone.frozen_stages, backbone.norm_eval, backbone.style) == (-1, True, 'caffe')
    assert list(cfg.model.data_preprocessor.mean) == [123, 116, 103]  # red first
    assert list(cfg.model.data_preprocessor.std) == [1, 1, 1]
    train, test = cfg.train_dataloader.dataset.pipeline, cfg.test_dataloader.dataset.pipeline
    assert [tuple(scale) for scale in train[3]['scales']] == [(1200, 480), (1200, 800)]
    assert tuple(test[1]['scale']) == (1200, 640)


def test_every_setting_reaches_its_place(file):
    options, unused = detectron2_options(file)
    assert unused == {'DATASETS.TRAIN': '("voc_masks",)', 'OUTPUT_DIR': 'out'}
    check(load_config(REPO / 'configs/maskdistill/mask-rcnn_r50_voc.py', options))


def test_the_tool_prints_what_the_command_line_takes(monkeypatch, capsys, file):
    from leopart_mm.engine.options import TypedText
    status, out, err = run_tool(monkeypatch, capsys, 'detectron2_options.py', file)
    assert status == 0
    assert 'DATASETS.TRAIN' in err
    options = {key: TypedText(value) for key, _, value in (part.partition('=') for part in out.split())}
    check(load_config(REPO / 'configs/maskdistill/mask-rcnn_r50_voc.py', options))


@pytest.mark.parametrize(('text', 'message'), [
    ('MODEL: {META_ARCHITECTURE: RetinaNet}', r'META_ARCHITECTURE: .RetinaNet., but our Mask R-CNN configs'),
    ('MODEL: {BACKBONE: {NAME: build_resnet_backbone}}', 'build_resnet_backbone'),
    ('MODEL: [', 'is no YAML file'), ('just text', 'holds no settings of detectron2'),
    ('_BASE_: gone.yaml', 'no detectron2 config .*gone.yaml'),
])
def test_other_files_are_refused(tmp_path, text, message):
    file = tmp_path / 'other.yaml'
    file.write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        detectron2_options(file)

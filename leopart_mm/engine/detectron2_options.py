"""Settings of a detectron2 YAML as options of our Mask R-CNN configs (docs/methods/maskdistill.md §6)."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from leopart_mm.files import printable

BASE = '_BASE_'
# Which values the parts have that both programs build; another value needs another config.
SAME = {
    'MODEL.META_ARCHITECTURE': 'GeneralizedRCNN', 'MODEL.BACKBONE.NAME': 'build_resnet_fpn_backbone',
    'MODEL.MASK_ON': True, 'MODEL.ROI_HEADS.NAME': 'StandardROIHeads', 'MODEL.ROI_BOX_HEAD.NAME': 'FastRCNNConvFCHead',
    'MODEL.ROI_BOX_HEAD.NUM_FC': 2, 'MODEL.ROI_MASK_HEAD.NUM_CONV': 4, 'MODEL.FPN.NORM': '',
    'MODEL.ROI_MASK_HEAD.NORM': '', 'SOLVER.LR_SCHEDULER_NAME': 'WarmupMultiStepLR',
}
# Setting -> keys of our configs, which take the value as it is.
PLAIN = {
    'SOLVER.MAX_ITER': ('iterations', ), 'SOLVER.BASE_LR': ('lr', ), 'SOLVER.STEPS': ('steps', ),
    'SOLVER.WARMUP_ITERS': ('warmup_iters', ), 'SOLVER.IMS_PER_BATCH': ('batch_size', ),
    'SOLVER.MOMENTUM': ('optim_wrapper.optimizer.momentum', ),
    'SOLVER.WEIGHT_DECAY': ('optim_wrapper.optimizer.weight_decay', ),
    'SOLVER.WARMUP_FACTOR': ('param_scheduler.0.start_factor', ), 'SOLVER.GAMMA': ('param_scheduler.1.gamma', ),
    'INPUT.MAX_SIZE_TRAIN': ('long_side', ), 'INPUT.MIN_SIZE_TEST': ('test_short_side', ),
    'MODEL.ROI_HEADS.NUM_CLASSES': ('num_classes', ), 'MODEL.ROI_HEADS.SCORE_THRESH_TEST': ('score_thr', ),
    'MODEL.ROI_HEADS.NMS_THRESH_TEST': ('nms_iou', ), 'TEST.DETECTIONS_PER_IMAGE': ('max_per_img', ),
    'MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE': ('model.train_cfg.rcnn.sampler.num', ),
    'MODEL.ROI_HEADS.POSITIVE_FRACTION': ('model.train_cfg.rcnn.sampler.pos_fraction', ),
    'MODEL.RPN.BATCH_SIZE_PER_IMAGE': ('model.train_cfg.rpn.sampler.num', ),
    'MODEL.RPN.PRE_NMS_TOPK_TRAIN': ('model.train_cfg.rpn_proposal.nms_pre', ),
    'MODEL.RPN.POST_NMS_TOPK_TRAIN': ('model.train_cfg.rpn_proposal.max_per_img', ),
    'MODEL.RPN.PRE_NMS_TOPK_TEST': ('model.test_cfg.rpn.nms_pre', ),
    'MODEL.RPN.POST_NMS_TOPK_TEST': ('model.test_cfg.rpn.max_per_img', ),
    'MODEL.RPN.NMS_THRESH': ('model.train_cfg.rpn_proposal.nms.iou_threshold', 'model.test_cfg.rpn.nms.iou_threshold'),
    'MODEL.RESNETS.DEPTH': ('model.backbone.depth', ),
    'SEED': ('randomness.seed', ),
}


def detectron2_options(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options, as for `load_config`, that bring the Mask R-CNN configs to the settings of a detectron2 YAML.

    Args:
        path: The file; those named by ``_BASE_`` in it are read first.

    Returns:
        Options by key, and what has no place in our configs: its settings by name, data sets and folders among them.

    Raises:
        FileNotFoundError: If the file, or one that it builds on, is missing.
        ValueError: If it is no YAML of settings, or of another kind of detector.
    """
    settings = _read(Path(path).expanduser())
    for name, value in SAME.items():
        if settings.get(name, value) != value:
            raise ValueError(f'{printable(path)} has {name}: {settings[name]!r}, but our Mask R-CNN configs have '
                             f'{value!r}; such a detector needs a config of its own.')
    options: dict[str, Any] = {}
    for name, keys in PLAIN.items():
        if name in settings:
            options.update(dict.fromkeys(keys, _plain(settings[name])))
    taken = {*PLAIN, *SAME}
    taken |= _backbone(settings, options) | _images(settings, options)
    return options, {name: value for name, value in settings.items() if name not in taken}


def _plain(value: Any) -> Any:
    """Numbers of tuples, which detectron2 writes as text: (18000, 22000)."""
    if isinstance(value, str) and value.startswith('('):
        return [int(part) for part in value.strip('()').split(',') if part.strip()]
    return list(value) if isinstance(value, tuple) else value


def _backbone(settings: Mapping[str, Any], options: dict[str, Any]) -> set[str]:
    if 'MODEL.BACKBONE.FREEZE_AT' in settings:  # it counts the stem, and 0 freezes nothing
        options['frozen_stages'] = int(settings['MODEL.BACKBONE.FREEZE_AT']) - 1
    if 'MODEL.RESNETS.NORM' in settings:
        options['norm_eval'] = settings['MODEL.RESNETS.NORM'] == 'FrozenBN'
    if settings.get('MODEL.RESNETS.STRIDE_IN_1X1') is not None:
        options['model.backbone.style'] = 'caffe' if settings['MODEL.RESNETS.STRIDE_IN_1X1'] else 'pytorch'
    return {'MODEL.BACKBONE.FREEZE_AT', 'MODEL.RESNETS.NORM', 'MODEL.RESNETS.STRIDE_IN_1X1'}


def _images(settings: Mapping[str, Any], options: dict[str, Any]) -> set[str]:
    sides = _plain(settings.get('INPUT.MIN_SIZE_TRAIN'))
    if sides is not None:
        options['short_sides'] = list(sides) if isinstance(sides, list) else [sides]
    turned = settings.get('INPUT.FORMAT', 'BGR') == 'BGR'
    for name, key in (('MODEL.PIXEL_MEAN', 'mean'), ('MODEL.PIXEL_STD', 'std')):
        if name in settings:
            values = [float(value) for value in settings[name]]
            options[key] = values[::-1] if turned else values
    return {'INPUT.MIN_SIZE_TRAIN', 'INPUT.FORMAT', 'MODEL.PIXEL_MEAN', 'MODEL.PIXEL_STD'}


def _read(path: Path) -> dict[str, Any]:
    """The settings of a file and its bases by dotted name."""
    if not path.is_file():
        raise FileNotFoundError(f'There is no detectron2 config {printable(path)}.')
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        raise ValueError(f'{printable(path)} is no YAML file: {str(error).splitlines()[0]}.') from error
    if not isinstance(content, dict):
        raise ValueError(f'{printable(path)} holds no settings of detectron2 (MODEL: ..., SOLVER: ...).')
    base = content.pop(BASE, None)
    return {**(_read(path.parent / base) if base else {}), **_flat(content)}


def _flat(content: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = f'{prefix}{key}'
        found.update(_flat(value, f'{name}.') if isinstance(value, Mapping) else {name: value})
    return found

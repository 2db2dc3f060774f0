"""Mask R-CNN on an FPN of detectron2 under MMDetection's names (docs/methods/maskdistill.md §16)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from leopart_mm.checkpoints.networks import flatten_tensors
from leopart_mm.checkpoints.renaming import KeyLayout, State
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.files import shorten

MEAN, STD = 'pixel_mean', 'pixel_std'
STEM = 'backbone.conv1.weight'
NO_WEIGHTS = (MEAN, STD, 'proposal_generator.anchor_generator.')
C4 = 'roi_heads.res5.'


def _stage(number: int) -> list[tuple[str, str]]:
    theirs, ours = f'backbone.bottom_up.res{number}.{{block}}', f'backbone.layer{number - 1}.{{block}}'
    return [(f'{theirs}.conv{{n}}.norm.', f'{ours}.bn{{n}}.'), (f'{theirs}.conv{{n}}.', f'{ours}.conv{{n}}.'),
            (f'{theirs}.shortcut.norm.', f'{ours}.downsample.1.'), (f'{theirs}.shortcut.', f'{ours}.downsample.0.')]


def _convolution(theirs: str, ours: str) -> list[tuple[str, str]]:
    """A convolution of MMCV, which has its norm beside it, not in it."""
    return [(f'{theirs}.norm.', f'{ours}.bn.'), (f'{theirs}.', f'{ours}.conv.')]


# Names of detectron2 -> names of MMDetection (the `KeyLayout` calls the second timm's).
DETECTRON2 = KeyLayout('detectron2', lambda keys: any(key.startswith('backbone.bottom_up.') for key in keys), (
    ('backbone.bottom_up.stem.conv1.norm.', 'backbone.bn1.'),
    ('backbone.bottom_up.stem.conv1.', 'backbone.conv1.'),
    *(rule for number in range(2, 6) for rule in _stage(number)),
    *(rule for level in range(2, 6) for theirs, ours in (('lateral', 'lateral'), ('output', 'fpn'))
      for rule in _convolution(f'backbone.fpn_{theirs}{level}', f'neck.{ours}_convs.{level - 2}')),
    ('proposal_generator.rpn_head.conv.', 'rpn_head.rpn_conv.'),
    ('proposal_generator.rpn_head.objectness_logits.', 'rpn_head.rpn_cls.'),
    ('proposal_generator.rpn_head.anchor_deltas.', 'rpn_head.rpn_reg.'),
    *((f'roi_heads.box_head.fc{layer}.', f'roi_head.bbox_head.shared_fcs.{layer - 1}.') for layer in (1, 2)),
    ('roi_heads.box_predictor.cls_score.', 'roi_head.bbox_head.fc_cls.'),
    ('roi_heads.box_predictor.bbox_pred.', 'roi_head.bbox_head.fc_reg.'),
    *(rule for layer in range(1, 5) for rule in _convolution(f'roi_heads.mask_head.mask_fcn{layer}',
                                                             f'roi_head.mask_head.convs.{layer - 1}')),
    ('roi_heads.mask_head.deconv.', 'roi_head.mask_head.upsample.'),
    ('roi_heads.mask_head.predictor.', 'roi_head.mask_head.conv_logits.')))


def is_detectron2(checkpoint: Any) -> bool:
    """Whether a loaded checkpoint is a detector of detectron2, with an FPN or without."""
    keys = _weights(checkpoint)
    return DETECTRON2.sign(set(keys)) or any(key.startswith(C4) for key in keys)


def detectron2_to_mmdet(checkpoint: Any, mean: Sequence[float], std: Sequence[float], bgr: bool | None = None,
                        name: str = 'the checkpoint') -> State:
    """The state of a Mask R-CNN of detectron2 for MMDetection's Mask R-CNN that computes the same.

    Classes have the same order in both, with the background last. detectron2 feeds blue, green, red by default, and
    may divide by another `std`: the first convolution is turned and scaled accordingly, which is exact.

    Args:
        checkpoint: The loaded file; its weights may lie under ``model``.
        mean: Means that the model subtracts, (red, green, blue).
        std: What it divides by, (red, green, blue).
        bgr: Whether the file's network reads blue first. None: as the file's ``pixel_mean`` tells, which newer
            files do not hold; then red first.
        name: What messages call the file.

    Raises:
        BackboneCheckpointError: If it is no detector with an FPN, has unknown weights, or subtracts other means.
    """
    weights = _weights(checkpoint)
    if any(key.startswith(C4) for key in weights):
        raise BackboneCheckpointError(f'{name} is a detectron2 model without an FPN (C4, its head is {C4}*). Only '
                                      'those with an FPN (R_50_FPN) can be read.')
    numbers = {key: weights.pop(key).flatten().tolist() for key in (MEAN, STD) if key in weights}
    weights = {key: value for key, value in weights.items() if not key.startswith(NO_WEIGHTS)}
    state = DETECTRON2.to_timm(weights)
    unknown = sorted(weights.keys() & state.keys())
    if unknown:
        raise BackboneCheckpointError(f'{name} has weights that Mask R-CNN on an FPN lacks: {shorten(unknown)}.')
    if bgr is None:
        there = numbers.get(MEAN)
        bgr = there is not None and _close(there, mean[::-1]) and not _close(there, mean)
    order = [2, 1, 0] if bgr else [0, 1, 2]  # place of red, green and blue
    if MEAN in numbers and not _close([numbers[MEAN][place] for place in order], mean):
        raise BackboneCheckpointError(f'{name} subtracts {numbers[MEAN]} from its images '
                                      f'({"blue" if bgr else "red"} first), the config {list(mean)} (red first): '
                                      '--cfg-options mean=[...] sets them.')
    stem = state[STEM][:, order]
    if STD in numbers:
        scale = torch.tensor(std) / torch.tensor([numbers[STD][place] for place in order])
        stem = stem * scale.to(stem)[:, None, None]
    state[STEM] = stem.contiguous()
    for key in [key for key in state if key.endswith('running_mean')]:
        state.setdefault(key.replace('running_mean', 'num_batches_tracked'), torch.tensor(0))
    return state


def _weights(checkpoint: Any) -> State:
    """Tensors by name; those of the model zoo are arrays."""
    inner = checkpoint.get('model', checkpoint) if isinstance(checkpoint, dict) else {}
    arrays = {key: torch.from_numpy(np.asarray(value)) for key, value in inner.items()
              if isinstance(value, np.ndarray)} if isinstance(inner, dict) else {}
    return {**arrays, **flatten_tensors(inner)}


def _close(values: Sequence[float], others: Sequence[float]) -> bool:
    return len(values) == len(others) and all(abs(a - b) < 0.01 for a, b in zip(values, others, strict=True))

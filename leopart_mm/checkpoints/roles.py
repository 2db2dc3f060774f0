"""What a checkpoint of ours, or of others, can be used for, told by its keys."""

from collections.abc import Mapping
from typing import Any

FITTED, TRAINING, SEGMENTOR, WEIGHTS = 'fitted', 'training', 'segmentor', 'weights'
IN_WORDS = {
    FITTED: 'a fitted model',
    TRAINING: 'a self-supervised network as it is trained (student and teacher)',
    SEGMENTOR: 'a segmentor',
    WEIGHTS: 'the weights of a network alone',
}


def role_of(checkpoint: Any) -> str:
    """FITTED (`tools/test.py --save-fitted`), TRAINING (of our self-supervised runs), SEGMENTOR, or WEIGHTS.

    >>> role_of({'state_dict': {'decode_head.fitted': True, 'decode_head.centroids': 0}})
    'fitted'
    >>> role_of({'state_dict': {'backbone.cls_token': 0, 'teacher.backbone.cls_token': 0}})
    'training'
    >>> role_of({'blocks.0.attn.qkv.weight': 0})
    'weights'
    """
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, Mapping) else {}
    keys = [str(key) for key in state] if isinstance(state, Mapping) else []
    if any(key.endswith('.fitted') and bool(state[key]) for key in keys):
        return FITTED
    if any(key.startswith('decode_head.') for key in keys):
        return SEGMENTOR
    if any(key.startswith('teacher.backbone.') for key in keys):
        return TRAINING
    return WEIGHTS


def how_to_fit(name: str) -> str:
    """The command that makes a fitted model of a checkpoint."""
    return (f'python tools/test.py CONFIG {name} --save-fitted fitted.pth, CONFIG being an evaluation such as '
            'configs/leopart/fully_unsup/vits16_small.py, and give fitted.pth')

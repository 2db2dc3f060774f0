"""Export of a backbone to timm."""

import os
from typing import Any

from torch import Tensor

from leopart_mm.checkpoints.checkpoint_source import find_vit, read_checkpoint
from leopart_mm.checkpoints.key_layouts import to_timm_keys
from leopart_mm.checkpoints.matching import BACKBONE_KEY
from leopart_mm.checkpoints.token_positions import registers_to_timm


def to_timm_state_dict(source: str | os.PathLike | Any, which: str | None = 'student') -> dict[str, Tensor]:
    """The backbone of a training checkpoint under timm's names, without anything else.

    It loads strictly into `timm.create_model(arch, num_classes=0)` of the arch that was trained; `img_size` must be
    given where the position grid is not the arch's own. A checkpoint whose only network has no role ('student' or
    'teacher' of nothing) counts as the student.

    Args:
        source: File, hub name, or a loaded checkpoint.
        which: 'student', 'teacher', a prefix, or None for the published choice, see `find_vit`.

    Raises:
        BackboneCheckpointError: There is no such network in the checkpoint.
    """
    name = str(source) if isinstance(source, (str, os.PathLike)) else 'the given state dict'
    state, _ = to_timm_keys(find_vit(read_checkpoint(source), which, name).state)
    state = registers_to_timm(state, name)
    return {key: value.clone() for key, value in state.items() if BACKBONE_KEY.match(key)}

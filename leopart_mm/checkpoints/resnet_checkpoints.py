"""ResNet weights out of checkpoints of DenseCL, SwAV, MoCo-v2, MaskContrast, torchvision and the MM projects."""

from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from leopart_mm.checkpoints.checkpoint_source import (
    TEACHER_NAMES,
    BackboneCheckpointError,
    flatten_tensors,
    read_checkpoint,
)
from leopart_mm.checkpoints.matching import shorten

# A ResNet stands where this key stands; the text before it is its prefix (docs/methods/leopart.md §13).
ANCHOR = 'layer1.0.conv1.weight'
MOMENTUM_NAMES = TEACHER_NAMES | {'encoder_k', 'model_k', 'backbone_k', 'target_network'}


def find_resnet(checkpoint: Any, key: str | None = None, name: str = 'the checkpoint') -> dict[str, Tensor]:
    """The state dict of the one ResNet in a checkpoint, under torchvision's keys.

    Args:
        checkpoint: A state dict, maybe nested: DenseCL and torchvision are flat; SwAV ``module.*``; MoCo-v2
            ``state_dict`` / ``module.encoder_q.*``; MaskContrast ``model`` / ``...backbone.*``; MM ``backbone.*``.
        key: The prefix to take where there are several. None: the one that is no momentum encoder.
        name: What error messages call the checkpoint.

    Raises:
        BackboneCheckpointError: There is no such ResNet, or more than one.
    """
    tensors = flatten_tensors(checkpoint) if isinstance(checkpoint, Mapping) else {}
    prefixes = sorted(full.removesuffix(ANCHOR) for full in tensors
                      if full == ANCHOR or full.endswith('.' + ANCHOR))
    if not prefixes:
        first = shorten(list(tensors)) or 'no tensor at all'
        raise BackboneCheckpointError(f'{name} holds no ResNet: no key ends in {ANCHOR}. It has: {first}.')
    if key is None:
        chosen = [one for one in prefixes if not MOMENTUM_NAMES & set(one.split('.'))] or prefixes
    else:
        chosen = [one for one in prefixes if one.rstrip('.') == key.rstrip('.')]
    if len(chosen) != 1:
        raise BackboneCheckpointError(f'{name} holds ResNets under the prefixes {prefixes}; set checkpoint_key to one '
                                      f'of them (now {key!r}).')
    prefix = chosen[0]
    return {full[len(prefix):]: value for full, value in tensors.items() if full.startswith(prefix)}


def load_resnet_state(source: Any, resnet: nn.Module, key: str | None = None,
                      name: str | None = None) -> dict[str, Tensor]:
    """Read a checkpoint and give the state dict that loads strictly into `resnet`; log what matched.

    Classifiers and projection heads are ignored. Old files without ``num_batches_tracked`` are completed.

    Raises:
        BackboneCheckpointError: No ResNet in the file, or keys are missing or of another shape.
    """
    name = name or ('the given state dict' if isinstance(source, Mapping) else f'{source}')
    found = find_resnet(read_checkpoint(source), key, name)
    wanted = resnet.state_dict()
    counters = {one: value for one, value in wanted.items() if one.endswith('num_batches_tracked')}
    found = {**counters, **found}
    missing = [one for one in wanted if one not in found]
    mismatched = [f'{one} {tuple(found[one].shape)} instead of {tuple(value.shape)}' for one, value in wanted.items()
                  if one in found and found[one].shape != value.shape]
    surplus = [one for one in found if one not in wanted]
    blocks = [one for one in surplus if one.startswith('layer')]
    if missing or mismatched or blocks:
        parts = [f'{name} does not fit this ResNet-{resnet.depth}.']
        for text, some in (('Missing', missing), ('Other shape', mismatched), ('Not in this network', blocks)):
            if some:
                parts.append(f'{text} ({len(some)}): {shorten(some)}.')
        parts.append('Change depth (or in_channels) in the config, or name another file.')
        raise BackboneCheckpointError(' '.join(parts))
    print_log(f'ResNet-{resnet.depth} from {name}: {len(wanted)} of {len(wanted)} keys matched'
              f'{f"; ignored: {shorten(surplus)}" if surplus else ""}.', logger='current')
    return {one: found[one] for one in wanted}

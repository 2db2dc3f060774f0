"""A backbone file as the checkpoint of a whole model: `tools/test.py CONFIG dino.pth`."""

import logging

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from leopart_mm.checkpoints.conversion import convert_checkpoint
from leopart_mm.checkpoints.networks import TRAINING_HEADS
from leopart_mm.models.backbones import BackboneCheckpointError, DenseViT, load_backbone_state
from leopart_mm.registry import HOOKS

HEADS = tuple(ours for ours, _ in TRAINING_HEADS)


@HOOKS.register_module()
class BackboneCheckpointHook(Hook):
    """Lets the Runner load a file that holds only a backbone, of any layout that DenseViT knows.

    Every DenseViT of the model for which the checkpoint has no key gets the checkpoint's backbone: a DINO file fills
    the backbone of a segmentor, or both student and teacher of a training model. A published Leopart or NeCo file whose
    projection head (and prototypes) fit a training model goes on where it stood: with them, and each network of the
    file in its own place. Checkpoints of the model itself pass untouched, so `--resume` is not affected.

    Args:
        which: Which network of the file to take: None (the published choice), 'student', 'teacher' or a prefix; see
            `DenseViT`'s checkpoint_key. 'teacher' also replaces the student by the teacher in a checkpoint of our own
            training, when it is loaded into a segmentor.
    """

    def __init__(self, which: str | None = None) -> None:
        self.which = which

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the converted backbone into `checkpoint`, under the keys of the Runner's model."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        backbones = {f'{path}.' if path else '': module for path, module in model.named_modules()
                     if isinstance(module, DenseViT)}
        loaded = checkpoint.get('state_dict', checkpoint)
        own = {key.removeprefix('module.'): value for key, value in loaded.items() if isinstance(value, Tensor)}
        without = {prefix: vit for prefix, vit in backbones.items() if not any(key.startswith(prefix) for key in own)}
        # A role that was asked for is meant even where the model's own keys are there; a resumed run goes on as it was.
        replace = self.which is not None and len(backbones) == 1 and not runner._resume
        wanting = backbones if replace else without
        if not wanting:
            return
        converted = {}
        for prefix, vit in wanting.items():
            name = f'{runner._load_from or "the checkpoint"}'
            state, report = load_backbone_state(checkpoint, vit, self.which, vit.drop_registers, name)
            print_log(f'{prefix}* from {report.summary()}', logger='current')
            converted.update({prefix + key: value for key, value in state.items()})
        if not (set(backbones) - set(without)):
            converted.update(_training_state(model, checkpoint, self.which))
        # In a file of another program a key such as 'head.weight' only looks like one of the model's.
        is_own = len(without) < len(backbones)
        checkpoint['state_dict'] = {**(own if is_own else {}), **converted}


def _training_state(model: nn.Module, checkpoint: dict, which: str | None) -> dict[str, Tensor]:
    """Heads, and the teacher, of a published training checkpoint in the model's names; nothing unless all heads fit."""
    try:
        state = convert_checkpoint(checkpoint, 'leopart_mm', which).checkpoint['state_dict']
    except BackboneCheckpointError:
        return {}
    wanted = {key: value.shape for key, value in model.state_dict().items()}
    heads = [key for key in state if key.removeprefix('teacher.').startswith(HEADS)]
    if not heads or not any(key.startswith(HEADS) for key in wanted):
        return {}
    unfit = [f'{key} {tuple(state[key].shape)}' for key in heads if key in wanted and wanted[key] != state[key].shape]
    if unfit:
        print_log(f'The heads of the checkpoint are of other sizes and are left out: {", ".join(unfit)}. Set neck and '
                  'head to these sizes to go on with them.', logger='current', level=logging.WARNING)
        return {}
    if not any(key.startswith('teacher.') for key in state):  # a released student is the start of both
        state.update({f'teacher.{key}': value for key, value in state.items()})
    # The student's backbone is converted already.
    taken = {key: value for key, value in state.items() if key in wanted and not key.startswith('backbone.')}
    print_log(f'Heads of the checkpoint taken over: {", ".join(key for key in heads if key in taken)}',
              logger='current')
    return taken

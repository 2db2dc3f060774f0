"""A backbone file as the checkpoint of a whole model: `tools/test.py CONFIG dino.pth`."""

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor

from leopart_mm.models.backbones import DenseViT, load_backbone_state
from leopart_mm.registry import HOOKS


@HOOKS.register_module()
class BackboneCheckpointHook(Hook):
    """Lets the Runner load a file that holds only a backbone, of any layout that DenseViT knows.

    Every DenseViT of the model for which the checkpoint has no key gets the checkpoint's backbone: a DINO file fills
    the backbone of a segmentor, or both student and teacher of a training model. Checkpoints of the model itself pass
    untouched, so `--resume` is not affected.

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
        # In a file of another program a key such as 'head.weight' only looks like one of the model's.
        is_own = len(without) < len(backbones)
        checkpoint['state_dict'] = {**(own if is_own else {}), **converted}

"""A backbone file as the checkpoint of a whole model: `tools/test.py CONFIG dino.pth`."""

import logging
from collections.abc import Iterable
from itertools import zip_longest

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner
from torch import Tensor, nn

from leopart_mm.checkpoints.conversion import convert_checkpoint
from leopart_mm.checkpoints.key_layouts import CLASS_PROTOTYPES
from leopart_mm.checkpoints.matching import load_backbone_state
from leopart_mm.checkpoints.networks import VIT, find_prefixes, flatten_tensors, read_heads
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.engine.wrapping import unwrap
from leopart_mm.files import shorten
from leopart_mm.models.backbones import PretrainedBackbone
from leopart_mm.models.necks import CodeHead
from leopart_mm.registry import HOOKS

State = dict[str, Tensor]
CODE_NECK = 'neck.'


@HOOKS.register_module()
class BackboneCheckpointHook(Hook):
    """Lets the Runner load a file that holds only a backbone, of any layout that DenseViT and DenseResNet know.

    Every such backbone of the model for which the checkpoint has no key gets the checkpoint's network: a DINO file
    fills the backbone of a segmentor, or both student and teacher of a training model. If the projection head (and
    prototypes) of a published Leopart or NeCo file fit a training model, they are taken too, and each network of the
    file goes to its own place. Checkpoints of the model itself pass untouched, so `--resume` is not affected.

    Parts of the file that the model lacks (the teacher, for a segmentor), and parts of the model that the file lacks
    (a head that is to be trained or fitted), are named in one line.

    Args:
        which: Which network of the file to take: None (the published choice), 'student', 'teacher' or a prefix; see
            `DenseViT`'s checkpoint_key. 'teacher' also replaces the student by the teacher in a checkpoint of our own
            training, when it is loaded into a segmentor.
    """

    def __init__(self, which: str | None = None) -> None:
        self.which = which

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the converted backbone into `checkpoint`, under the keys of the Runner's model.

        Raises:
            BackboneCheckpointError: If the file holds no network of this shape.
        """
        model = unwrap(runner.model)
        backbones = {f'{path}.' if path else '': module for path, module in model.named_modules()
                     if isinstance(module, PretrainedBackbone)}
        resumed = getattr(runner, '_resume', False)
        if not backbones or resumed:
            return
        loaded = checkpoint.get('state_dict', checkpoint)
        state = {key.removeprefix('module.'): value for key, value in loaded.items() if isinstance(value, Tensor)}
        absent = {prefix: backbone for prefix, backbone in backbones.items()
                  if not any(key.startswith(prefix) for key in state)}
        # A role that was asked for counts even where the model's own keys are present.
        replaced = backbones if self.which is not None and len(backbones) == 1 else absent
        name = f'{getattr(runner, "_load_from", None) or "the checkpoint"}'
        is_foreign = len(absent) == len(backbones)
        if is_foreign:  # a key such as 'head.weight' only looks like one of the model's
            state = {}
        heads_only = is_foreign and not find_prefixes(flatten_tensors(checkpoint)) and _heads_alone(checkpoint)
        for prefix, backbone in replaced.items():
            if heads_only:
                state.update(_own_weights(prefix, backbone, name))
                continue
            converted, report = load_backbone_state(checkpoint, backbone.network_spec, self.which, name)
            print_log(f'{prefix}* from {report.summary()}', logger='current')
            state.update({prefix + key: value for key, value in converted.items()})
        if heads_only:
            state.update(_fitting_heads(model, heads_only))
        elif is_foreign and any(backbone.network_spec.kind is VIT for backbone in backbones.values()):
            state.update(_training_state(model, checkpoint, self.which))
        _complete_code_head(model, state, name)
        checkpoint['state_dict'] = _whole_parts(model, state, name, isinstance(
            getattr(runner, '_train_loop', None), BaseLoop))


def _training_state(model: nn.Module, checkpoint: dict, which: str | None) -> State:
    """Heads, and the teacher, of a published training checkpoint in the model's names; nothing unless all heads fit."""
    try:
        state = convert_checkpoint(checkpoint, 'leopart_mm', which).checkpoint['state_dict']
    except BackboneCheckpointError:
        return {}
    return _fitting_heads(model, state)


def _fitting_heads(model: nn.Module, state: State) -> State:
    """The heads of a state that the model has; nothing but its code head unless all of them fit."""
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    code = {} if _code_head(model) is None else {
        key: value for key, value in state.items() if key.startswith(CODE_NECK)}  # it takes its sizes from these
    heads = [key for key in state if not key.removeprefix('teacher.').startswith('backbone.')]
    if not any(key in shapes or key in code for key in heads):
        return {}
    # A length of 0 is not known yet: the head takes it from the weights, as the code head does.
    unfit = [f'{key} {tuple(state[key].shape)}' for key in heads if key not in code and key in shapes and any(
        ours not in (0, given) for ours, given in zip_longest(shapes[key], state[key].shape))]
    if unfit:
        print_log(f'The heads of the checkpoint are of other sizes and are left out: {", ".join(unfit)}. Set neck and '
                  'head to these sizes to continue with them.', logger='current', level=logging.WARNING)
        return code
    if not any(key.startswith('teacher.') for key in state):  # a released student is the start of both
        state = {**state, **{f'teacher.{key}': value for key, value in state.items()}}
    # The student's backbone is converted with all others.
    taken = {key: value for key, value in state.items() if key in shapes and not key.startswith('backbone.')} | code
    print_log(f'Heads of the checkpoint taken over: {", ".join(key for key in heads if key in taken)}',
              logger='current')
    return taken


def _code_head(model: nn.Module) -> CodeHead | None:
    neck = getattr(model, 'neck', None)
    return neck if isinstance(neck, CodeHead) and neck.reads_weights else None


def _heads_alone(checkpoint: dict) -> State:
    """The prototypes of a PriMaPs run on STEGO or HP, whose files hold no network; else nothing."""
    heads = read_heads(checkpoint)
    return heads if any(key.startswith(CLASS_PROTOTYPES) for key in heads) else {}


def _own_weights(prefix: str, module: nn.Module, name: str) -> State:
    """A part's weights from the checkpoint that its config names, where the loaded file has none of the part."""
    if getattr(module, 'checkpoint', None) is None:
        part = prefix.removesuffix('.')
        raise BackboneCheckpointError(
            f'{name} holds no weights of the {part}. Prototypes that PriMaPs trained on STEGO or HP are saved without '
            f'the network: set checkpoint=FILE of the STEGO or HP run in {part}.')
    module.init_weights()
    return {prefix + key: value for key, value in module.state_dict().items()}


def _complete_code_head(model: nn.Module, state: State, name: str) -> None:
    """A code head is frozen, so it may not be left at random weights as heads that are trained afterwards."""
    neck = _code_head(model)
    if neck is not None and not any(key.startswith(CODE_NECK) for key in state):
        state.update(_own_weights(CODE_NECK, neck, name))


def _whole_parts(model: nn.Module, state: State, name: str, is_training: bool) -> State:
    """The state without parts that the model lacks, and with the model's own values for parts that the state lacks.

    MMEngine would list every key of these as an error. Parts that are present but incomplete are left to its message,
    and parts that are fitted to themselves: they load as a whole or not at all.
    """
    current = model.state_dict()
    parts = {_part(key) for key in state}
    surplus = {part for part in parts if not _has_part(model, part)}
    fitted = {_part(key) for key in current if key.split('.')[-1] == 'fitted'}
    fresh = {_part(key) for key in current} - parts - fitted
    if surplus or fresh:
        text = f'{name} fills {_list(parts - surplus)}.'
        if surplus:
            text += f' Not used here: {_list(surplus)}.'
        if fresh:
            text += f' Not in the file, so left at initial values: {_list(fresh)}.'
        learned = fresh & {_part(key) for key, _ in model.named_parameters()}
        print_log(text, logger='current', level=logging.WARNING if learned and not is_training else logging.INFO)
    kept = {key: value for key, value in state.items() if _part(key) not in surplus}
    return {**kept, **{key: value for key, value in current.items() if _part(key) in fresh}}


def _part(key: str) -> str:
    """The part of a model that a key belongs to: 'neck', of a teacher 'teacher.neck'."""
    names = key.split('.')
    return '.'.join(names[:2 if names[0] == 'teacher' else 1])


def _has_part(model: nn.Module, part: str) -> bool:
    for name in part.split('.'):
        model = getattr(model, name, None)
    return model is not None


def _list(parts: Iterable[str]) -> str:
    return shorten((f'{part}.*' for part in sorted(parts)), 8)

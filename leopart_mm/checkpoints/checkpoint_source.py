"""From a file, hub name or loaded object to the state dict of the one ViT that is wanted."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from leopart_mm.checkpoints.safe_reading import load_checkpoint_file

# A ViT stands where these keys stand; the text before them is its prefix.
ANCHORS = ('patch_embed.proj.weight', 'patch_embed.projection.weight', 'cls_token')
TEACHER_NAMES = {'teacher', 'momentum_encoder', 'ema', 'model_ema', 'state_dict_ema', 'ema_state_dict',
                 'target_encoder'}
NO_WEIGHTS = {'optimizer', 'optimizer_states', 'lr_schedulers', 'scheduler', 'param_schedulers', 'message_hub',
              'hyper_parameters', 'callbacks', 'loops', 'meta', 'args', 'config'}


class BackboneCheckpointError(RuntimeError):
    """A checkpoint that does not hold the weights of this backbone."""


@dataclass
class FoundViT:
    """The weights of one ViT in a checkpoint: keys without their prefix, and how many keys lay elsewhere."""

    state: dict[str, Tensor]
    prefix: str
    num_outside: int


def read_checkpoint(source: Any, arch: str = '') -> Any:
    """Read a checkpoint from a file, 'timm://[name]', 'hf-hub:owner/name' or a URL; objects are returned as they are.

    Args:
        source: Where the weights are.
        arch: What 'timm://' without a name stands for.

    Raises:
        BackboneCheckpointError: A hub or URL that could not be reached.
        FileNotFoundError: There is no such file.
    """
    if not isinstance(source, (str, os.PathLike)):
        return source
    text = str(source)
    if text.startswith('timm://'):
        return _from_hub(text.removeprefix('timm://') or arch, text)
    if text.startswith(('hf-hub:', 'hf_hub:')):
        return _from_hub(text, text)
    if text.startswith(('http://', 'https://')):
        return load_checkpoint_file(_download(text))
    try:
        return load_checkpoint_file(source)
    except FileNotFoundError as error:
        hub = f' or timm://{arch} to download timm\'s' if arch else ''
        raise FileNotFoundError(f'{error} Name yours (--cfg-options checkpoint=FILE){hub}; checkpoint=None starts from '
                                'random weights.') from None


def _from_hub(name: str, text: str) -> dict[str, Tensor]:
    try:
        return timm.create_model(name, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # hub libraries raise many kinds
        raise _unreachable(text, error) from error


def _download(url: str) -> Path:
    target = Path(torch.hub.get_dir()) / 'checkpoints' / url.rpartition('/')[2].partition('?')[0]
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(target))
        except Exception as error:
            raise _unreachable(url, error) from error
    return target


def _unreachable(text: str, error: Exception) -> BackboneCheckpointError:
    return BackboneCheckpointError(f"The weights '{text}' could not be fetched ({type(error).__name__}: {error}). "
                                   'Without network, download the file elsewhere and name it: checkpoint=FILE.')


def flatten_tensors(checkpoint: Any, prefix: str = '') -> dict[str, Tensor]:
    """All tensors of nested dicts by dotted name; optimiser states and the like are left out."""
    tensors: dict[str, Tensor] = {}
    for key, value in checkpoint.items():
        if isinstance(value, Tensor):
            tensors[f'{prefix}{key}'] = value.detach()
        elif isinstance(value, Mapping) and str(key) not in NO_WEIGHTS:
            tensors.update(flatten_tensors(value, f'{prefix}{key}.'))
    return tensors


def find_vit(checkpoint: Any, key: str | None = None, name: str = 'the checkpoint') -> FoundViT:
    """Find the ViT in a checkpoint by the place of its patch embedding or class token.

    Args:
        checkpoint: A state dict, maybe nested in other dicts.
        key: 'student', 'teacher', or a prefix. None: of a student-teacher pair of DINO's kind (both named so) the
            teacher, as its authors do; else what is not a teacher (Leopart, NeCo, MoCo-v3's base encoder, our own).
        name: What error messages call the checkpoint.

    Raises:
        BackboneCheckpointError: There is no ViT, not the one asked for, or several to choose from.
    """
    tensors = flatten_tensors(checkpoint) if isinstance(checkpoint, Mapping) else {}
    prefixes = find_vit_prefixes(tensors)
    if not prefixes:
        raise BackboneCheckpointError(f'{name} holds no ViT: {_what_it_holds(tensors)}')
    chosen = _choose(prefixes, key)
    if len(chosen) != 1:
        found = ', '.join(f"'{prefix}'" for prefix in prefixes)
        wanted = f"none of them fits checkpoint_key='{key}'" if not chosen else 'more than one fits'
        raise BackboneCheckpointError(f'{name} holds ViTs under the prefixes {found}; {wanted}. Set checkpoint_key to '
                                      'one of these prefixes.')
    prefix = chosen[0]
    state = {full[len(prefix):]: value for full, value in tensors.items() if full.startswith(prefix)}
    return FoundViT(state, prefix, len(tensors) - len(state))


def find_vit_prefixes(tensors: dict[str, Tensor]) -> list[str]:
    """The text before the keys of every ViT among named tensors."""
    prefixes = {name.removesuffix(anchor) for name in tensors for anchor in ANCHORS if name.endswith(anchor)}
    return sorted(prefix for prefix in prefixes if prefix == '' or prefix.endswith('.'))


def _choose(prefixes: list[str], key: str | None) -> list[str]:
    teachers = [prefix for prefix in prefixes if TEACHER_NAMES & set(prefix.split('.'))]
    students = [prefix for prefix in prefixes if prefix not in teachers]
    if key == 'teacher':
        return teachers
    if key == 'student':
        return students
    if key is not None:
        key = key if key == '' or key.endswith('.') else f'{key}.'
        return [prefix for prefix in prefixes if prefix == key] or [p for p in prefixes if key and p.startswith(key)]
    published_teacher = any('student' in prefix.split('.') for prefix in students)
    return teachers if teachers and (published_teacher or not students) else students


def _what_it_holds(tensors: dict[str, Tensor]) -> str:
    if not tensors:
        return 'it holds no tensors at all. Is it a checkpoint?'
    first = ', '.join(list(tensors)[:5])
    if any(name.endswith('conv1.weight') for name in tensors) and any('layer1.0.' in name for name in tensors):
        return f'it looks like a ResNet ({first}, ...). Name a ViT checkpoint.'
    if any('relative_position_bias_table' in name for name in tensors):
        return f'it looks like a Swin Transformer ({first}, ...). Name a ViT checkpoint.'
    if len(tensors) <= 20:
        return f'it looks like a head only ({first}). Name the checkpoint of the backbone.'
    return f'no key ends in {" or ".join(ANCHORS)}. Its first keys: {first}.'

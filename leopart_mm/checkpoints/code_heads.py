"""The code heads of STEGO and HP: their weights, and the settings that their files record (docs/methods/primaps.md)."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leopart_mm.checkpoints.key_layouts import CODE, EMA_CODE, State
from leopart_mm.checkpoints.networks import read_heads
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError

TOKENS, KEYS = 'tokens', 'keys'
LINEAR, NONLINEAR, IDENTITY = 'linear', 'nonlinear', 'identity'
FEATURE_TYPES = {'feat': TOKENS, 'KK': KEYS}


@dataclass(frozen=True)
class CodeSettings:
    """What a run of STEGO or HP says of its head; None: not said.

    Args:
        features: 'tokens' or 'keys', what the head reads of the backbone's last block.
        projection: 'linear', 'nonlinear' or 'identity'.
        dim: Channels of the code.
        arch: The authors' name of the backbone, such as 'vit_small'.
        patch_size: Side of its patches in pixels.
    """

    features: str | None = None
    projection: str | None = None
    dim: int | None = None
    arch: str | None = None
    patch_size: int | None = None


def code_state(checkpoint: Any, ema: bool, name: str) -> State:
    """The weights of a code head: `cluster1.0.*` and, if the projection has a hidden layer, `cluster2.{0,2}.*`.

    Args:
        checkpoint: A loaded checkpoint of STEGO or HP, or of a model of ours with a CodeHead.
        ema: Take HP's moving average of the head.
        name: What error messages call the checkpoint.

    Raises:
        BackboneCheckpointError: If there is no such head, or it does not fit the backbone of the file.
    """
    heads = read_heads(checkpoint)
    plain, average = _below(heads, CODE), _below(heads, EMA_CODE)
    if not plain and not average:
        raise BackboneCheckpointError(
            f'{name} holds no head of STEGO (net.cluster1.*) or HP (net_model_state_dict.cluster1.*), so it gives '
            'features, but no codes: name the checkpoint of a STEGO or HP run, or set neck=None.')
    if ema and not average:
        raise BackboneCheckpointError(f'{name} holds no moving average of its head (HP keeps one as ema_model1 and '
                                      'ema_model2, STEGO none): set ema=False in the neck.')
    if not ema and not plain:
        raise BackboneCheckpointError(f'{name} holds the moving average of a head only: set ema=True in the neck.')
    state = average if ema else plain
    wanted = {f'{layer}.{part}' for layer in layers_of(state) for part in ('weight', 'bias')}
    if absent := sorted(wanted - state.keys()):
        raise BackboneCheckpointError(f'{name} holds a part of a code head only: {", ".join(absent)} is missing. '
                                      'Download or save the checkpoint again.')
    return state


def layers_of(state: Mapping[str, Any]) -> list[str]:
    """The layers of a head that has these tensors: those of `cluster1`, and of `cluster2` if there is one.

    >>> layers_of(['cluster1.0.weight', 'cluster1.0.bias'])
    ['cluster1.0']
    """
    deep = any(key.startswith('cluster2.') for key in state)
    return ['cluster1.0', 'cluster2.0', 'cluster2.2'] if deep else ['cluster1.0']


def stego_settings(checkpoint: Any) -> CodeSettings:
    """The settings in the hyper-parameters of a STEGO checkpoint (`cfg`, an OmegaConf object); empty if it has none."""
    parameters = checkpoint.get('hyper_parameters') if isinstance(checkpoint, Mapping) else None
    cfg = parameters.get('cfg') if isinstance(parameters, Mapping) else None
    values = cfg.get('_content', cfg) if isinstance(cfg, Mapping) else {}
    return _settings(values, values)


def hp_settings(path: str | os.PathLike) -> CodeSettings:
    """The settings in the option file (JSON) of an HP run.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is no option file of HP.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'There is no option file {path}: name the JSON file that HP was trained with.')
    try:
        model = json.loads(path.read_text(encoding='utf-8'))['model']
        return _settings(model['pretrained'], model if model.get('continuous', True) else {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{path} is no option file of HP: it needs "model" with "pretrained" in it '
                         f'({type(error).__name__}: {error}).') from error


def _settings(pretrained: Mapping[str, Any], model: Mapping[str, Any]) -> CodeSettings:
    kind, projection = _value(pretrained, 'dino_feat_type'), IDENTITY
    if kind is not None and kind not in FEATURE_TYPES:
        raise ValueError(f"dino_feat_type='{kind}' is unknown. Known: {', '.join(FEATURE_TYPES)}.")
    if 'projection_type' not in pretrained:
        projection = None
    elif _value(pretrained, 'projection_type') is not None:
        projection = str(_value(pretrained, 'projection_type'))
    return CodeSettings(FEATURE_TYPES.get(kind), projection, _value(model, 'dim'), _value(pretrained, 'model_type'),
                        _value(pretrained, 'dino_patch_size'))


def _value(values: Mapping[str, Any], key: str) -> Any:
    """A value of a plain mapping, or of one whose nodes are OmegaConf's, read without that package."""
    node = values.get(key)
    return node.get('_val') if isinstance(node, Mapping) else node


def _below(state: State, prefix: str) -> State:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}

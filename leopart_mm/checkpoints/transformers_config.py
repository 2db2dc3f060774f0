"""The `config.json` of Hugging Face's DINOv2 and DINOv3: made of weights, and read as the name of timm's network."""

from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import timm
from safetensors import safe_open
from torch import Tensor

from leopart_mm.checkpoints.qkv_tensors import PERIOD_BASE, WIDTH_WITHOUT_BIASES
from leopart_mm.checkpoints.renaming import State, is_gated
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.weight_folder import config_beside, weight_files

# Width, number of blocks, number of heads and whether MLPs are gated, of the published networks.
DINOV2_SIZES = {(384, 12, 6, False): 'small', (768, 12, 12, False): 'base', (1024, 24, 16, False): 'large',
                (1536, 40, 24, True): 'giant'}
DINOV3_SIZES = {(384, 12, 6, False): 'small', (384, 12, 6, True): 'small_plus', (768, 12, 12, False): 'base',
                (1024, 24, 16, False): 'large', (1280, 32, 20, True): 'huge_plus', (4096, 40, 32, True): '7b'}
DINOV2, DINOV3 = ('dinov2', 'dinov2_with_registers'), 'dinov3_vit'  # as `model_type` has them
REGISTERS = {0: '', 4: '_reg4'}
PATCH_OF_DINOV2, PATCH_OF_DINOV3, REGISTERS_OF_DINOV3 = 14, 16, 4
STEM = 'patch_embed.proj.weight'
HEADS = {width: heads for width, _, heads, _ in (*DINOV2_SIZES, *DINOV3_SIZES)}


def published_heads(state: State) -> int | None:
    """Attention heads of the published DINOv2 and DINOv3 networks of this width; None for another width."""
    return HEADS.get(len(state[STEM]))


def timm_arch(config: Mapping[str, Any], has_biases: bool = False) -> str | None:
    """timm's name of the network that a config describes; None where it is none of the published ones.

    >>> size = dict(hidden_size=384, num_hidden_layers=12, num_attention_heads=6)
    >>> timm_arch(dict(model_type='dinov2', patch_size=14, **size))
    'vit_small_patch14_dinov2'

    Args:
        config: Content of `config.json`, of the class of any task.
        has_biases: Whether a bias of queries or values differs from 0, which tells two networks of timm apart.
    """
    size = config.get('hidden_size'), config.get('num_hidden_layers'), config.get('num_attention_heads')
    kind, patch = config.get('model_type'), config.get('patch_size')
    if kind == DINOV3:
        size = DINOV3_SIZES.get((*size, bool(config.get('use_gated_mlp'))))
        is_known = patch == PATCH_OF_DINOV3 and config.get('num_register_tokens') == REGISTERS_OF_DINOV3
        return f'vit_{size}_patch{patch}_dinov3{"_qkvb" * has_biases}' if size and is_known else None
    if kind in DINOV2:
        registers = REGISTERS.get(config.get('num_register_tokens', 4) if kind.endswith('registers') else 0)
        size = DINOV2_SIZES.get((*size, bool(config.get('use_swiglu_ffn'))))
        return f'vit_{size}_patch{patch}{registers}_dinov2' if size and patch == PATCH_OF_DINOV2 and (
            registers is not None) else None
    return None


def arch_of_folder(source: str) -> str | None:
    """timm's name of the network in a folder of transformers or timm, or whose file lies there; None if unknown.

    A folder of timm (`timm.models.save_for_hf`) names the weights too, as a tag where timm knows it.
    """
    path = Path(source).expanduser()
    config = config_beside(path)
    if config is None or 'architecture' not in config:
        return None if config is None else timm_arch(config, _has_biases(path))
    arch, cfg = str(config['architecture']), config.get('pretrained_cfg')
    tagged = f'{arch}.{cfg.get("tag")}' if isinstance(cfg, Mapping) else arch
    return (tagged if tagged in timm.list_pretrained(f'{arch}.*') else arch) if timm.is_model(arch) else None


def heads_by_config(source: Any) -> int | None:
    """Attention heads by the config beside the weights; None where the source is no such file or folder."""
    config = config_beside(Path(source).expanduser()) if isinstance(source, str | Path) else None
    return None if config is None else config.get('num_attention_heads')


def check_config(config: Mapping[str, Any], name: str) -> None:
    """Check what a config says of the network and its weights do not show.

    Raises:
        BackboneCheckpointError: If timm's DINOv2 and DINOv3 compute something else; `name` is what it calls the folder.
    """
    if config.get('model_type') not in (*DINOV2, DINOV3):
        return
    is_v3 = config['model_type'] == DINOV3
    expected = dict(hidden_act='silu' if is_v3 and config.get('use_gated_mlp') else 'gelu')
    if is_v3:
        expected['rope_theta'] = PERIOD_BASE
    for key, value in expected.items():
        if config.get(key, value) != value:
            raise BackboneCheckpointError(f"{name}: {key}={config[key]} in its config.json, but timm's networks have "
                                          f'{value}, so they would compute something else.')


def dinov2_config(state: State, num_heads: int) -> dict[str, Any]:
    """The config of a DINOv2 network, with registers or without.

    Args:
        state: Its weights in timm's names, with positions and registers as DINOv2 has them (`registers_to_dinov2`).
        num_heads: Heads of its attention.

    Raises:
        BackboneCheckpointError: If its position grid is no square, which transformers' networks need.
    """
    config = _common(state, num_heads)
    registers, patches = state.get('register_tokens'), state['pos_embed'].shape[1] - 1
    side = isqrt(patches)
    if side**2 != patches:
        raise BackboneCheckpointError(f'The {patches} positions of patches in pos_embed are no square grid, which '
                                      "transformers' DINOv2 needs: take another layout.")
    kind = ('Dinov2Model', 'dinov2') if registers is None else ('Dinov2WithRegistersModel', 'dinov2_with_registers')
    config.update(architectures=[kind[0]], model_type=kind[1], image_size=side * config['patch_size'],
                  layer_norm_eps=1e-6, qkv_bias='blocks.0.attn.qkv.bias' in state, use_swiglu_ffn=is_gated(state),
                  hidden_act='gelu', mlp_ratio=4)
    if registers is not None:
        config['num_register_tokens'] = registers.shape[1]
    if not config['use_swiglu_ffn']:
        ratio = _inner(state) / config['hidden_size']
        config['mlp_ratio'] = int(ratio) if ratio.is_integer() else ratio
    return config


def dinov3_config(state: State, num_heads: int) -> dict[str, Any]:
    """The config of a DINOv3 network, see `dinov2_config`."""
    config, gated = _common(state, num_heads), is_gated(state)
    biased = 'blocks.0.attn.q_bias' in state or config['hidden_size'] != WIDTH_WITHOUT_BIASES
    registers: Tensor | None = state.get('reg_token')
    config.update(architectures=['DINOv3ViTModel'], model_type=DINOV3, image_size=224, layer_norm_eps=1e-5,
                  num_register_tokens=0 if registers is None else registers.shape[1], intermediate_size=_inner(state),
                  use_gated_mlp=gated, hidden_act='silu' if gated else 'gelu', query_bias=biased, value_bias=biased,
                  key_bias=False, rope_theta=PERIOD_BASE)
    return config


def _common(state: State, num_heads: int) -> dict[str, Any]:
    width, bands, _, patch = state[STEM].shape
    return dict(hidden_size=width, num_channels=bands, patch_size=patch, num_attention_heads=num_heads,
                num_hidden_layers=len({key.split('.')[1] for key in state if key.startswith('blocks.')}),
                dtype=str(state['cls_token'].dtype).removeprefix('torch.'))


def _inner(state: State) -> int:
    return state['blocks.0.mlp.fc2.weight'].shape[1]


def _has_biases(path: Path) -> bool:
    """Whether any bias of queries or values differs from 0; those of pickled files are not looked at and count so."""
    for file in weight_files(path):
        if file.suffix != '.safetensors':
            return True
        with safe_open(file, 'pt') as opened:
            if any(key.endswith(('q_proj.bias', 'v_proj.bias')) and opened.get_tensor(key).any()
                   for key in opened.keys()):  # noqa: SIM118  (it is no mapping)
                return True
    return False

"""What to change in a config so that a ViT fits its checkpoint, as far as the keys of both tell."""

from collections.abc import Mapping
from typing import Any

from leopart_mm.checkpoints.networks import VIT
from leopart_mm.checkpoints.qkv_tensors import BIASES
from leopart_mm.checkpoints.renaming import State, has_gated_shapes, is_gated

SIZES = {192: 'ViT-Ti', 384: 'ViT-S', 768: 'ViT-B', 1024: 'ViT-L', 1280: 'ViT-H', 1536: 'ViT-g', 4096: 'ViT-7B'}
LAYER_SCALE = ('blocks.0.ls1.gamma', 'blocks.0.gamma_1')


def vit_hints(state: State, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Sentences on what the config must change.

    Args:
        state: The checkpoint in timm's names.
        shapes: Shape of every tensor of the network that the config builds.
    """
    hints = _size_hints(state, shapes)
    if ('pos_embed' in state) != ('pos_embed' in shapes):
        kind = 'learned' if 'pos_embed' in state else 'rotary'
        fit = 'an arch that has them too' if 'pos_embed' in state else 'a rotary arch (DINOv3: *_dinov3)'
        hints.append(f'It has {kind} positions: use {fit}.')
    elif _has(state, LAYER_SCALE) != _has(shapes, LAYER_SCALE):
        kind = 'has' if _has(state, LAYER_SCALE) else 'lacks'
        hints.append(f'It {kind} LayerScale: choose the arch accordingly (DINOv2: *_dinov2) or set '
                     'model_kwargs=dict(init_values=1e-5).')
    if is_gated(state) and not has_gated_shapes(shapes):
        hints.append('Its MLPs are gated: use an arch with such (DINOv2: vit_giant_*, DINOv3: vit_*_plus_*, vit_7b_*).')
    if 'pos_embed' in state and 'pos_embed' in shapes:  # registers of rotary networks have another remedy
        if 'reg_token' in state and 'reg_token' not in shapes:
            hints.append('It has register tokens: use a *_reg4_* arch, or drop_registers=True to leave them out.')
        if 'reg_token' not in state and 'reg_token' in shapes:
            hints.append('It has no register tokens: use an arch without *_reg4_*.')
    elif any(key.endswith(BIASES) for key in state) and not any(key.endswith(BIASES) for key in shapes):
        hints.append('Its queries and values have biases: use the arch of the same name with _qkvb behind it.')
    if 'dist_token' in state and 'dist_token' not in shapes:
        hints.append('It has a distillation token: use a deit_*_distilled_* arch.')
    return hints


def num_blocks(keys: Mapping[str, Any]) -> int:
    """Blocks of a ViT, by timm's names of its tensors."""
    return len({name.split('.')[1] for name in keys if name.startswith('blocks.')})


def _size_hints(state: State, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    stem, wanted = state.get(VIT.stem), shapes.get(VIT.stem)
    if stem is None or stem.ndim != 4 or wanted is None:
        return []
    hints = []
    (width, bands, _, patch), (embed_dims, in_chans, _, patch_size) = stem.shape, wanted
    depth = num_blocks(state)
    if width != embed_dims:
        hints.append(f'This looks like {_size(width)}, the config builds {_size(embed_dims)}: change arch.')
    elif depth != num_blocks(shapes):
        hints.append(f'It has {depth} blocks, the config builds {num_blocks(shapes)}: change arch or model_kwargs.')
    if patch != patch_size:
        hints.append(f'Its patches are {patch} px wide, the config builds {patch_size}: change arch or '
                     'model_kwargs=dict(patch_size=...).')
    if bands not in (3, in_chans):
        hints.append(f'It was trained on {bands} bands: set in_chans={bands}.')
    return hints


def _has(keys: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    return any(name in keys for name in names)


def _size(width: int) -> str:
    return f'{SIZES.get(width, "a ViT")} (width {width})'

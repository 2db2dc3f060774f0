"""Key names of foreign ViT state dicts, mapped to timm's: one function a layout."""

import re

from torch import Tensor

State = dict[str, Tensor]

MM_RULES = (
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'^(?:pre_norm|ln_pre)\.', 'norm_pre.'),
    (r'^(?:ln1|norm1)\.', 'norm.'),
    (r'^layers\.(\d+)\.(?:ln|norm)([12])\.', r'blocks.\1.norm\2.'),
    (r'^layers\.(\d+)\.attn\.attn\.in_proj_', r'blocks.\1.attn.qkv.'),
    (r'^layers\.(\d+)\.attn\.attn\.out_proj\.', r'blocks.\1.attn.proj.'),
    (r'^layers\.(\d+)\.attn\.gamma1\.weight$', r'blocks.\1.ls1.gamma'),
    (r'^layers\.(\d+)\.attn\.', r'blocks.\1.attn.'),
    (r'^layers\.(\d+)\.ffn\.gamma2\.weight$', r'blocks.\1.ls2.gamma'),
    (r'^layers\.(\d+)\.ffn\.layers\.0\.0\.', r'blocks.\1.mlp.fc1.'),
    (r'^layers\.(\d+)\.ffn\.layers\.1\.', r'blocks.\1.mlp.fc2.'),
    (r'^layers\.(\d+)\.ffn\.w12\.', r'blocks.\1.mlp.fc1.'),
    (r'^layers\.(\d+)\.ffn\.w3\.', r'blocks.\1.mlp.fc2.'),
)
DINOV2_RULES = (
    (r'^blocks\.\d+\.(\d+)\.', r'blocks.\1.'),  # training files cut the blocks into chunks
    (r'^(blocks\.\d+\.mlp\.)w12\.', r'\1fc1.'),
    (r'^(blocks\.\d+\.mlp\.)w3\.', r'\1fc2.'),
)
POOLED_RULES = ((r'^fc_norm\.', 'norm.'), )
DEIT3_RULES = ((r'^(blocks\.\d+\.)gamma_([12])$', r'\1ls\2.gamma'), )


def to_timm_keys(state: State) -> tuple[State, str]:
    """Rename the keys of a ViT state dict, stripped of its prefix, to timm's.

    Position embeddings and register tokens keep the values and the names that they have; `token_positions` fits these
    to a network.

    Returns:
        The renamed state dict and the name of the layout that was recognised.
    """
    if any(re.match(r'layers\.\d+\.(?:ln|norm|attn|ffn)', key) for key in state):
        return _convert_mm(state)
    if 'register_tokens' in state or ('mask_token' in state and any('.ls1.gamma' in key for key in state)):
        return _rename(state, DINOV2_RULES), 'DINOv2'
    if any(re.match(r'blocks\.\d+\.gamma_1', key) for key in state):
        return _rename(state, DEIT3_RULES), 'DeiT-3'
    if 'fc_norm.weight' in state and 'norm.weight' not in state:
        return _rename(state, POOLED_RULES), 'timm with pooling before the norm'
    return dict(state), 'timm'


def _convert_mm(state: State) -> tuple[State, str]:
    is_mmseg = any('attn.attn.in_proj_weight' in key for key in state)
    return _rename(state, MM_RULES), 'mmseg' if is_mmseg else 'MMPretrain'


def _rename(state: State, rules: tuple[tuple[str, str], ...]) -> State:
    return {_rename_key(key, rules): value for key, value in state.items()}


def _rename_key(key: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        renamed, hits = re.subn(pattern, replacement, key)
        if hits:
            return renamed
    return key

"""Checkpoints in every published key layout, made from a timm state dict."""

import re
from collections.abc import Callable

import torch
from torch import Tensor

State = dict[str, Tensor]


def prefixed(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


def other(state: State) -> State:
    """The same network with other values: the one that must not be taken."""
    return {key: value + 1 for key, value in state.items()}


def head() -> State:
    return {'head.weight': torch.zeros(7, 32), 'head.bias': torch.zeros(7)}


def dino_head() -> State:
    return {'head.mlp.0.weight': torch.zeros(5, 32), 'head.last_layer.weight_g': torch.zeros(9, 1)}


def leopart_heads() -> State:
    return {'projection_head.0.weight': torch.zeros(5, 32), 'prototypes.weight': torch.zeros(9, 4)}


def dino_full(state: State) -> dict:
    student = prefixed(other(state), 'backbone.')
    return dict(student=prefixed({**student, **dino_head()}, 'module.'),
                teacher={**prefixed(state, 'backbone.'), **dino_head()},
                optimizer=dict(state={0: other(state)}), epoch=3, dino_loss=dict(center=torch.zeros(1, 9)))


def mae(state: State) -> dict:
    decoder = {'mask_token': torch.zeros(1, 1, 16), 'decoder_pos_embed': torch.zeros(1, 17, 16),
               'decoder_blocks.0.norm1.weight': torch.zeros(16), 'decoder_embed.weight': torch.zeros(16, 32)}
    return dict(model={**state, **decoder}, epoch=1)


def moco_v3(state: State) -> dict:
    return dict(arch='vit_small', epoch=300, optimizer=dict(state={}), state_dict={
        **prefixed({**state, 'head.0.weight': torch.zeros(9, 32)}, 'module.base_encoder.'),
        **prefixed(other(state), 'module.momentum_encoder.'), 'module.predictor.0.weight': torch.zeros(9, 9)})


def mmpretrain(state: State) -> dict:
    return dict(meta=dict(epoch=1), state_dict={**prefixed(_to_mm(state), 'backbone.'),
                                                'head.layers.head.weight': torch.zeros(7, 32)})


def mmseg(state: State) -> dict:
    renamed = {re.sub(r'attn\.qkv\.', 'attn.attn.in_proj_', re.sub(r'attn\.proj\.', 'attn.attn.out_proj.', key)): value
               for key, value in _to_mm(state).items()}
    return dict(state_dict={**prefixed(renamed, 'backbone.'), 'decode_head.conv_seg.weight': torch.zeros(7, 32, 1, 1)})


def _to_mm(state: State) -> State:
    rules = [(r'^patch_embed\.proj\.', 'patch_embed.projection.'), (r'^norm\.', 'ln1.'),
             (r'\.ls1\.gamma', '.attn.gamma1.weight'), (r'\.ls2\.gamma', '.ffn.gamma2.weight'),
             (r'^blocks\.(\d+)\.norm', r'layers.\1.ln'), (r'\.mlp\.fc1\.', '.ffn.layers.0.0.'),
             (r'\.mlp\.fc2\.', '.ffn.layers.1.'), (r'^blocks\.', 'layers.')]
    renamed = {}
    for key, value in state.items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        renamed[key] = value
    return renamed


def ours(state: State) -> dict:
    return dict(meta=dict(iter=4), optimizer=dict(state={}), state_dict={
        **prefixed(state, 'backbone.'), 'neck.mlp.0.weight': torch.zeros(5, 32), 'head.weight': torch.zeros(9, 4),
        **prefixed(other(state), 'teacher.backbone.'), 'teacher.head.weight': torch.zeros(9, 4)})


def lightning(state: State) -> dict:
    return {'epoch': 3, 'pytorch-lightning_version': '1.6.0', 'optimizer_states': [], 'hyper_parameters': {},
            'state_dict': {**prefixed({**state, **leopart_heads()}, 'model.'), **prefixed(other(state), 'teacher.')}}


def beside_heads(state: State, prefix: str) -> State:
    """The backbone of STEGO, HP and PriMaPs beside a head of a single layer."""
    return {**prefixed(state, f'{prefix}model.'), f'{prefix}cluster1.0.weight': torch.zeros(6, 32, 1, 1)}


LAYOUTS: dict[str, Callable[[State], dict]] = {
    'timm': lambda state: {**state, **head()},
    'timm_training': lambda state: dict(state_dict={**state, **head()}, state_dict_ema=other(state), arch='x'),
    'dino_backbone': dict,
    'dino_full': dino_full,
    'ibot': lambda state: dict(state_dict={**state, 'head.mlp.0.weight': torch.zeros(5, 32),
                                           'masked_embed': torch.zeros(1, 32)}),
    'cribo': lambda state: dict(teacher=prefixed(state, 'backbone.'), epoch=2),
    'mae': mae,
    'moco_v3': moco_v3,
    'deit': lambda state: dict(model={**state, **head()}),
    'ddp': lambda state: prefixed({**state, **head()}, 'module.'),
    'mmpretrain': mmpretrain,
    'mmseg': mmseg,
    'leopart_flat': lambda state: prefixed({**state, **leopart_heads()}, 'model.'),
    'leopart_lightning': lightning,
    'neco_released': lambda state: {**state, **leopart_heads()},
    'stego': lambda state: dict(epoch=1, state_dict={
        **beside_heads(state, 'net.'), 'cluster_probe.clusters': torch.zeros(5, 6)}),
    'hp': lambda state: dict(best=1., net_model_state_dict=beside_heads(state, ''), cluster_model_state_dict=dict(
        clusters=torch.zeros(5, 6))),
    'primaps': lambda state: dict(state_dict={
        **prefixed(state, 'net.model.'), 'seghead.weight_v': torch.zeros(5, 32, 1, 1)}),
    'ours': ours,
    'half': lambda state: {key: value.half() for key, value in state.items()},
}


def dinov2(state: State) -> dict:
    """DINOv2's own file of a network without registers."""
    return {**state, 'mask_token': torch.zeros(1, state['cls_token'].shape[-1])}


def dinov2_registers(state: State) -> dict:
    """DINOv2's own file of a register model: one position for the class token, registers under another name."""
    class_position = torch.full_like(state['cls_token'], 0.25)
    return {'cls_token': state['cls_token'] - class_position, 'register_tokens': state['reg_token'],
            'pos_embed': torch.cat([class_position, state['pos_embed']], dim=1),
            'mask_token': torch.zeros(1, state['cls_token'].shape[-1]),
            **{key: value for key, value in state.items() if key not in ('cls_token', 'reg_token', 'pos_embed')}}


def chunked(state: State) -> dict:
    """DINOv2's training file: blocks in chunks, a teacher beside its student."""
    blocks = {re.sub(r'^blocks\.(\d+)', lambda hit: f'blocks.{int(hit[1]) // 2}.{hit[1]}', key): value
              for key, value in dinov2(state).items()}
    return dict(model={**prefixed(other(blocks), 'student.backbone.'), **prefixed(blocks, 'teacher.backbone.'),
                       'teacher.dino_head.mlp.0.weight': torch.zeros(5, 32)})


def dinov3(state: State, num_heads: int = 2) -> dict:
    """DINOv3's own file of a timm Eva network: fused biases with a mask that blanks those of keys, rotary periods."""
    rules = [(r'^reg_token', 'storage_tokens'), (r'\.gamma_(\d)', r'.ls\1.gamma'), (r'\.mlp\.fc1_g\.', '.mlp.w1.'),
             (r'\.mlp\.fc1_x\.', '.mlp.w2.')]
    if 'blocks.0.mlp.fc1_g.weight' in state:
        rules.append((r'\.mlp\.fc2\.', '.mlp.w3.'))
    width = state['cls_token'].shape[-1]
    zeros, ones = torch.zeros(width), torch.ones(width)
    found = {'mask_token': torch.zeros(1, width),
             'rope_embed.periods': 100.**(torch.arange(width // num_heads // 4) / (width // num_heads // 4))}
    for key, value in state.items():
        if key.endswith(('.q_bias', '.v_bias')):
            continue
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        found[key] = value
        if key.endswith('.qkv.weight'):
            attention = key.removesuffix('qkv.weight')
            found[f'{attention}qkv.bias'] = torch.cat([
                state.get(f'{attention}q_bias', zeros), zeros, state.get(f'{attention}v_bias', zeros)])
            found[f'{attention}qkv.bias_mask'] = torch.cat([ones, zeros, ones])
    return found

"""Small networks and recorded arrays for the backbone tests."""

from math import isqrt

import torch
from torch import Tensor

from leopart_mm.checkpoints.networks import read_networks
from leopart_mm.models.backbones import DenseViT
from leopart_mm.models.necks import ProjectionHead

TINY = dict(img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2)


def tiny_vit(arch: str = 'vit_tiny_patch16_224', seed: int = 0, model_kwargs: dict | None = None, **kwargs) -> DenseViT:
    """A small DenseViT in evaluation mode whose every parameter is random (timm's biases start at 0)."""
    generator = torch.Generator().manual_seed(seed)
    vit = DenseViT(arch, {**TINY, **(model_kwargs or {})}, **kwargs).eval()
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1 + (parameter.ndim == 1))
    return vit


def vit_of(weights: dict[str, Tensor], num_heads: int) -> DenseViT:
    """The DenseViT of recorded weights, in evaluation mode; every size is read off the weights."""
    width, _, patch_size, _ = weights['patch_embed.proj.weight'].shape
    grid = isqrt(weights['pos_embed'].shape[1] - 1)
    kwargs = dict(img_size=grid * patch_size, patch_size=patch_size, embed_dim=width, num_heads=num_heads,
                  depth=len({key.split('.')[1] for key in weights if key.startswith('blocks.')}),
                  mlp_ratio=weights['blocks.0.mlp.fc1.weight'].shape[0] / width)
    arch = 'vit_tiny_patch16_224'
    if 'blocks.0.ls1.gamma' in weights:
        arch = 'vit_small_patch14_dinov2'
    if 'register_tokens' in weights:
        arch, kwargs['reg_tokens'] = 'vit_small_patch14_reg4_dinov2', weights['register_tokens'].shape[1]
    vit = DenseViT(arch, kwargs).eval()
    vit.load_pretrained(weights)
    return vit


def vit_and_head(weights: dict[str, Tensor], num_heads: int) -> tuple[DenseViT, ProjectionHead]:
    """The DenseViT and ProjectionHead of recorded weights; every size is read off the weights."""
    vit = vit_of(weights, num_heads)
    layers = {key.removeprefix('neck.'): value for key, value in read_networks(weights)['student'].heads.items()
              if key.startswith('neck.')}
    shapes = [value.shape for _, value in sorted(layers.items()) if value.ndim == 2]
    head = ProjectionHead(vit.embed_dims, shapes[0][0], shapes[-1][0], len(shapes))
    head.load_state_dict(layers)
    return vit, head


def all_tokens(vit: DenseViT, image: Tensor) -> Tensor:
    """(B, 1 + h*w, C): class token and patches after the final norm, registers dropped."""
    features = vit.forward_dense(image)
    return torch.cat([features.cls_token[:, None], flat_patches(features.maps[-1])], dim=1)


def flat_patches(feature_map: Tensor) -> Tensor:
    """A map (B, C, h, w) as patches (B, h*w, C), row-major."""
    return feature_map.flatten(2).transpose(1, 2)

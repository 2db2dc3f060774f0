"""Queries, keys, values and class-token attention of a timm block, beside its fused forward pass."""

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Attention, Block
from torch import Tensor, nn


def block_qkv(block: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values that a block computes from its input tokens (B, N, C): three (B, heads, N, head_dim).

    Raises:
        TypeError: If the block is not timm's plain pre-norm block with one qkv projection.
    """
    attn = plain_attention(block)
    qkv = attn.qkv(block.norm1(tokens)).unflatten(-1, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    q, k, v = qkv.unbind(0)
    return attn.q_norm(q), attn.k_norm(k), v


def class_query(block: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The query of the class token (token 0), and the keys of all tokens, without any other query and without values.

    Args:
        block: A plain timm block.
        tokens: (B, N, C), its input.

    Returns:
        (B, heads, 1, head_dim) and (B, heads, N, head_dim).

    Raises:
        TypeError: As for `block_qkv`.
    """
    attn = plain_attention(block)
    tokens = block.norm1(tokens)
    weights = attn.qkv.weight.chunk(3)
    biases = (None, ) * 3 if attn.qkv.bias is None else attn.qkv.bias.chunk(3)
    q, k = (F.linear(x, weight, bias).unflatten(-1, (attn.num_heads, -1)).transpose(1, 2)
            for x, weight, bias in zip((tokens[:, :1], tokens), weights, biases, strict=False))
    return attn.q_norm(q), attn.k_norm(k)


def plain_attention(block: nn.Module) -> Attention:
    """The attention of a block.

    Raises:
        TypeError: If the block is not timm's plain pre-norm block with one qkv projection.
    """
    attn = getattr(block, 'attn', None)
    if not isinstance(block, Block) or not isinstance(attn, Attention):
        raise TypeError(f'Queries, keys and attention maps need timm\'s plain Block with Attention; this network has '
                        f'{type(block).__name__} with {type(attn).__name__}.')
    return attn


def class_token_attention(q: Tensor, k: Tensor, num_prefix_tokens: int) -> Tensor:
    """Attention of the class token (token 0) to the patches.

    Args:
        q: (B, heads, N, head_dim).
        k: (B, heads, N, head_dim).
        num_prefix_tokens: Class and register tokens before the patches.

    Returns:
        (B, heads, N - num_prefix_tokens), float32; the softmax runs over all N tokens.
    """
    scores = (q[:, :, :1] * q.shape[-1]**-0.5) @ k.transpose(-2, -1)
    return torch.softmax(scores.squeeze(2).float(), dim=-1)[..., num_prefix_tokens:]

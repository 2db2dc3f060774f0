"""Queries, keys, values and attention of timm's blocks and of its pooling head, beside their fused forward pass."""

from functools import singledispatch

import torch
import torch.nn.functional as F
from timm.layers import AttentionPoolLatent, AttentionRope, apply_rot_embed_cat
from timm.models.eva import EvaAttention, EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Attention, Block
from torch import Tensor, nn

Projection = tuple[Tensor, Tensor | None]  # weight and bias


def block_qkv(block: nn.Module, tokens: Tensor, rope: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values that a block computes from its input tokens.

    Args:
        block: A block of timm with one attention.
        tokens: (B, N, C), its input.
        rope: (P, 2 * head_dim) or (heads, P, 2 * head_dim), sine and cosine by which queries and keys of the P patches
            are rotated before they are compared. None: as they are projected.

    Returns:
        Three (B, heads, N, head_dim), after the norms that the attention has for queries and keys. Keys and values
        that several heads share are repeated.

    Raises:
        TypeError: If queries, keys and values of such a block are not known.
    """
    tokens, attn = attention_input(block, tokens), block.attn
    q, k, v = (_split_heads(attn, x) for x in _project(attn, tokens))
    q, k = (rotate_patches(attn, x, rope) for x in (attn.q_norm(q), attn.k_norm(k)))
    return q, repeat_shared(attn, k), repeat_shared(attn, v)


def class_query(block: nn.Module, tokens: Tensor, rope: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The query of the class token (token 0), and the keys of all tokens, without any other query and without values.

    Args:
        block: A block of timm with one attention.
        tokens: (B, N, C), its input.
        rope: As for `block_qkv`; it rotates the keys of the patches.

    Returns:
        (B, heads, 1, head_dim) and (B, heads, N, head_dim).

    Raises:
        TypeError: As for `block_qkv`.
    """
    tokens, attn = attention_input(block, tokens), block.attn
    query, key, _ = _projections(attn)
    q, k = (_split_heads(attn, F.linear(x, *projection)) for x, projection in ((tokens[:, :1], query), (tokens, key)))
    return attn.q_norm(q), repeat_shared(attn, rotate_patches(attn, attn.k_norm(k), rope))


@singledispatch
def attention_input(block: nn.Module, tokens: Tensor) -> Tensor:
    """What the attention of a block gets, of the block's input (B, N, C).

    Raises:
        TypeError: If the block is none of timm's with one attention.
    """
    raise TypeError("Queries, keys and attention maps need timm's plain Block or EvaBlock; this network has "
                    f'{type(block).__name__}.')


@attention_input.register(Block)
@attention_input.register(EvaBlock)
def _(block: nn.Module, tokens: Tensor) -> Tensor:
    return block.norm1(tokens)


@attention_input.register(EvaBlockPostNorm)
def _(block: nn.Module, tokens: Tensor) -> Tensor:
    return tokens


@singledispatch
def _projections(attn: nn.Module) -> tuple[Projection, Projection, Projection]:
    """Weights and biases that give queries, keys and values."""
    raise TypeError("Queries, keys and attention maps need timm's Attention, AttentionRope or EvaAttention; this "
                    f'network has {type(attn).__name__}.')


@_projections.register(Attention)
@_projections.register(AttentionRope)
@_projections.register(EvaAttention)
def _(attn: nn.Module) -> tuple[Projection, Projection, Projection]:
    if attn.qkv is None:
        return tuple((layer.weight, layer.bias) for layer in (attn.q_proj, attn.k_proj, attn.v_proj))
    biases = (None, ) * 3 if (bias := _fused_bias(attn)) is None else bias.chunk(3)
    return tuple(zip(attn.qkv.weight.chunk(3), biases, strict=True))


def _project(attn: nn.Module, tokens: Tensor) -> tuple[Tensor, ...]:
    """Queries, keys and values (B, N, heads * head_dim), heads side by side, in one product where they lie in one."""
    _projections(attn)  # refuses an attention that it does not know
    return project_tokens(attn, tokens)


def project_tokens(attn: nn.Module, tokens: Tensor) -> tuple[Tensor, ...]:
    """As timm's Attention, AttentionRope and EvaAttention project them: (..., C) to three (..., heads * head_dim)."""
    if attn.qkv is None:
        return attn.q_proj(tokens), attn.k_proj(tokens), attn.v_proj(tokens)
    if getattr(attn, 'q_bias', None) is None:
        return attn.qkv(tokens).chunk(3, -1)
    return F.linear(tokens, attn.qkv.weight, _fused_bias(attn)).chunk(3, -1)


def _fused_bias(attn: nn.Module) -> Tensor | None:
    if getattr(attn, 'q_bias', None) is None:
        return attn.qkv.bias
    return torch.cat((attn.q_bias, attn.k_bias, attn.v_bias))  # EvaAttention: that of the keys is a constant 0


def _split_heads(attn: nn.Module, x: Tensor) -> Tensor:
    return x.unflatten(-1, (-1, attn.head_dim)).transpose(1, 2)


def rotate_patches(attn: nn.Module, x: Tensor, rope: Tensor | None) -> Tensor:
    """Rotate what of (B, heads, N, head_dim) belongs to patches, as the attention does; class and register tokens have
    no position."""
    if rope is None:
        return x
    start = attn.num_prefix_tokens
    patches = apply_rot_embed_cat(x[:, :, start:], rope, half=attn.rotate_half)
    return torch.cat([x[:, :, :start], patches], dim=2).type_as(x)


def repeat_shared(attn: nn.Module, x: Tensor) -> Tensor:
    """Keys or values of (B, groups, N, head_dim) for every head, where several heads share them."""
    groups = getattr(attn, 'num_kv_groups', 1)
    return x if groups == 1 else x.repeat_interleave(groups, dim=1)


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


def pooling_attention(pool: AttentionPoolLatent, tokens: Tensor) -> Tensor:
    """Attention of the query that a pooling head has learned.

    Args:
        pool: The head.
        tokens: (B, N, C), those that it pools.

    Returns:
        (B, heads, N), float32; the softmax runs over all N tokens. Of several queries the first one is taken.
    """
    q = _split_heads(pool, pool.q(pool.latent[:, :1]))
    weight, bias = pool.kv.weight.chunk(2)[0], None if pool.kv.bias is None else pool.kv.bias.chunk(2)[0]
    k = _split_heads(pool, F.linear(tokens, weight, bias))
    return class_token_attention(pool.q_norm(q), pool.k_norm(k), 0)

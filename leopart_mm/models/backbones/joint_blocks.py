"""Blocks of timm on images of several sizes at once: attention size by size, everything else on all tokens together.

One large matrix product instead of two, half the launches, and for `torch.compile` one graph for all blocks: rates of
stochastic depth, which differ from block to block, come in as tensors.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from timm.layers import AttentionRope
from timm.models.eva import EvaAttention, EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Attention, Block
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from leopart_mm.models.backbones.lean_mlp import lean_mlp
from leopart_mm.models.backbones.qkv import project_tokens, repeat_shared, rotate_patches
from leopart_mm.models.backbones.stochastic_depth import Draw, Shapes

Branch = Callable[[Tensor, Shapes], Tensor]


def _plain_branches(block: Block, ropes: Sequence[Tensor | None]) -> tuple[Branch, Branch]:
    return (lambda x, shapes: block.ls1(joint_attention(block.attn, block.norm1(x), shapes, ropes)),
            lambda x, shapes: block.ls2(lean_mlp(block.mlp, block.norm2(x))))


def _eva_branches(block: EvaBlock, ropes: Sequence[Tensor | None]) -> tuple[Branch, Branch]:

    def attention(x: Tensor, shapes: Shapes) -> Tensor:
        x = joint_attention(block.attn, block.norm1(x), shapes, ropes)
        return x if block.gamma_1 is None else block.gamma_1 * x

    def mlp(x: Tensor, shapes: Shapes) -> Tensor:
        x = lean_mlp(block.mlp, block.norm2(x))
        return x if block.gamma_2 is None else block.gamma_2 * x

    return attention, mlp


def _post_norm_branches(block: EvaBlockPostNorm, ropes: Sequence[Tensor | None]) -> tuple[Branch, Branch]:
    return (lambda x, shapes: block.norm1(joint_attention(block.attn, x, shapes, ropes)),
            lambda x, shapes: block.norm2(lean_mlp(block.mlp, x)))


# By exact type: a class derived from one of these may do something else.
BRANCHES = {Block: _plain_branches, EvaBlock: _eva_branches, EvaBlockPostNorm: _post_norm_branches}
ATTENTIONS = (Attention, AttentionRope, EvaAttention)


def runs_jointly(block: nn.Module) -> bool:
    """Whether `joint_block` knows such a block."""
    return type(block) in BRANCHES and type(block.attn) in ATTENTIONS and block.attn.fused_attn


def require_joint_blocks(blocks: Sequence[nn.Module], option: str) -> None:
    """Refuse blocks that `joint_block` does not know.

    Args:
        blocks: Those of a network.
        option: What needs it, as the message names it.

    Raises:
        ValueError: If there is one.
    """
    for block in blocks:
        if not runs_jointly(block):
            attention = type(getattr(block, 'attn', None)).__name__
            raise ValueError(f"{option} needs timm's plain Block or EvaBlock with fused attention; this network has "
                             f'{type(block).__name__} with {attention}. Leave the option out.')


def joint_block(block: nn.Module, tokens: Tensor, shapes: Shapes, ropes: Sequence[Tensor | None],
                draws: tuple[Draw | None, Draw | None] = (None, None)) -> Tensor:
    """What a block makes of its input; equal to the block's own pass for each size.

    Args:
        block: One that `runs_jointly`.
        tokens: (rows, C), the tokens of all images, image after image, size after size.
        shapes: Images and tokens of each size.
        ropes: For each size what rotates queries and keys, see `block_rotations`.
        draws: What is kept of attention and MLP, see `draws_of_blocks`.

    Returns:
        (rows, C).
    """
    for branch, draw in zip(BRANCHES[type(block)](block, ropes), draws, strict=True):
        if draw is None:
            tokens = tokens + branch(tokens, shapes)
        elif draw.rows is None:
            residual = branch(tokens, shapes)
            tokens = tokens + residual * draw.scale.to(residual.dtype)
        else:
            residual = branch(tokens.index_select(0, draw.rows), draw.shapes) * draw.scale
            tokens = tokens.index_add(0, draw.rows, residual.to(tokens.dtype))
    return tokens


def joint_attention(attn: nn.Module, tokens: Tensor, shapes: Shapes, ropes: Sequence[Tensor | None]) -> Tensor:
    """The attention of images of several sizes, (rows, C) to (rows, C); arguments as of `joint_block`."""
    q, k, v = (x.unflatten(-1, (-1, attn.head_dim)) for x in project_tokens(attn, tokens))  # (rows, heads, head_dim)
    q, k = attn.q_norm(q), attn.k_norm(k)
    sizes = [images * count for images, count in shapes]
    outputs = []
    for shape, rope, *parts in zip(shapes, ropes, q.split(sizes), k.split(sizes), v.split(sizes), strict=True):
        one_q, one_k, one_v = (x.unflatten(0, shape).transpose(1, 2) for x in parts)  # (B, heads, N, head_dim)
        if rope is not None:
            one_q, one_k = (rotate_patches(attn, x, rope).type_as(one_v) for x in (one_q, one_k))
        out = F.scaled_dot_product_attention(one_q, repeat_shared(attn, one_k), repeat_shared(attn, one_v),
                                             dropout_p=attn.attn_drop.p if attn.training else 0.)
        outputs.append(out.transpose(1, 2).flatten(2).flatten(0, 1))
    x = attn.norm(outputs[0] if len(outputs) == 1 else torch.cat(outputs))
    if getattr(attn, 'gate', None) is not None:
        x = x * attn.gate(tokens).sigmoid()
    return attn.proj_drop(attn.proj(x))


def run_joint_block(block: nn.Module, tokens: Tensor, shapes: Shapes, ropes: Sequence[Tensor | None],
                    draws: tuple[Draw | None, Draw | None] = (None, None), compiled: bool | Mapping = False,
                    recomputed: bool = False) -> Tensor:
    """`joint_block`, compiled and recomputed as wished.

    Args:
        block, tokens, shapes, ropes, draws: As of `joint_block`.
        compiled: Whether `torch.compile` compiles it, or the arguments of that (`backend`, `mode`, ...). All blocks of
            all networks share the graphs, one for each set of image sizes, with and without gradient.
        recomputed: Whether it is computed again in the backward pass, which saves the memory of its activations.
    """
    # What exports or compiles the whole network has a graph of its own.
    inside = torch.compiler.is_compiling() or torch.jit.is_tracing()
    run = joint_block
    if compiled and not inside:
        run = compiled_block(**(compiled if isinstance(compiled, Mapping) else {}))
    if recomputed and torch.is_grad_enabled():
        return recompute(run, block, tokens, shapes, ropes, draws, use_reentrant=False)
    return run(block, tokens, shapes, ropes, draws)


@functools.cache
def compiled_block(**options) -> Callable[..., Tensor]:
    """`joint_block` compiled with these arguments of `torch.compile`."""
    return torch.compile(joint_block, **{'dynamic': False, 'fullgraph': True, **options})

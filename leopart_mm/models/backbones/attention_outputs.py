"""What may be asked of the attention of a block, beside the network's own pass through it."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from leopart_mm.models.backbones.qkv import block_qkv, class_query, class_token_attention

CLASS_ATTENTION, QKV, CLASS_QUERY = 'class attention', 'qkv', 'class query'


def attention_outputs(block: nn.Module,
                      tokens: Tensor,
                      rope: Tensor | None,
                      asked: Collection[str],
                      num_prefix_tokens: int = 1,
                      rotary_qkv: bool = False) -> dict[str, Tensor]:
    """What is asked of the attention of a block, from its input.

    Args:
        block: A block of timm with one attention.
        tokens: (B, prefix + h*w, C), its input.
        rope: Sine and cosine of the patches' positions, see `block_qkv`; None for a network without rotary positions.
        asked: Any of CLASS_ATTENTION, QKV and CLASS_QUERY.
        num_prefix_tokens: Number of tokens before the patches; the class token is the first.
        rotary_qkv: Whether queries and keys come rotated. The attention of the class token is that of the network.

    Returns:
        `cls_attention`; `q`, `k` and `v`; `class_q` and `token_k`: each as in `DenseFeatures`, where it is asked.
    """
    outputs, prefix = {}, num_prefix_tokens
    if CLASS_ATTENTION in asked:
        outputs['cls_attention'] = class_token_attention(*class_query(block, tokens, rope), prefix)
    rope = rope if rotary_qkv else None
    if QKV in asked:
        q, k, v = block_qkv(block, tokens, rope)
        outputs.update({name: x[:, :, prefix:] for name, x in zip('qkv', (q, k, v), strict=True)})
    if CLASS_QUERY in asked:
        class_q, k = (q[:, :, :1], k) if QKV in asked else class_query(block, tokens, rope)
        keys = k if prefix == 1 else torch.cat([k[:, :, :1], k[:, :, prefix:]], dim=2)
        outputs.update(class_q=class_q, token_k=keys)
    return outputs


def require_class_token(arch: str, asked: Collection[str]) -> None:
    """Refuse what a network without class token cannot give.

    Raises:
        ValueError: If its attention or its query is asked for.
    """
    if CLASS_ATTENTION in asked:
        raise ValueError(f'arch {arch} has no class token and no head that pools by attention, hence no attention to '
                         "use as foreground: use mask='all' in the loss and no attention masks, or another arch.")
    if CLASS_QUERY in asked:
        raise ValueError(f'arch {arch} has no class token, hence no query of it: use other masks, or another arch.')

"""What a dense backbone gives: feature maps and, on request, attention, queries, keys and values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor


@dataclass
class DenseFeatures:
    """Dense features of a batch of images; (h, w) is the patch grid, every patch axis is row-major.

    Args:
        maps: One map (B, C, h, w) per requested block.
        grid: (h, w), the number of patch rows and columns.
        cls_token: (B, C), the class token after the last block; None for a network without one, and if that block
            was not run.
        cls_attention: (B, heads, h*w), attention of the class token to the patches in the last block. The softmax
            runs over all tokens, so a row sums to 1 minus the share of the class and register tokens. Of a network
            without class token that pools its patches by attention (SigLIP): the attention of this head.
        q: (B, heads, h*w, head_dim), queries of the patches in the requested block. Those of rotary networks are
            rotated only on request, see `DenseViT`.
        k: (B, heads, h*w, head_dim), keys.
        v: (B, heads, h*w, head_dim), values.
        class_q: (B, heads, 1, head_dim), query of the class token in the block that was requested for it.
        token_k: (B, heads, 1 + h*w, head_dim), keys of the class token and the patches in that block.
        reduced: (B, D, h', w'), what the fitted head clusters: standardised and reduced features.
    """

    maps: tuple[Tensor, ...]
    grid: tuple[int, int]
    cls_token: Tensor | None = None
    cls_attention: Tensor | None = None
    q: Tensor | None = None
    k: Tensor | None = None
    v: Tensor | None = None
    class_q: Tensor | None = None
    token_k: Tensor | None = None
    reduced: Tensor | None = None

    def select(self, images: slice | Sequence[int]) -> 'DenseFeatures':
        """Those of some images."""
        tensors = {key: value[images] for key, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, maps=tuple(maps[images] for maps in self.maps), **tensors)

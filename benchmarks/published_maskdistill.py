"""MaskDistill's mask of one image as docs/methods/maskdistill.md §2-3 describes the published form: all of the network
with attention matrices in memory, all affinities, two sorts."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn


def last_queries_and_keys(network: nn.Module, image: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys (heads, 1 + n, d) of a DenseViT's last block, of one image (3, H, W); every block is run whole.
    """
    tokens = network._embed(image[None])[0]
    for block in network.blocks:
        attn = block.attn
        q, k, v = attn.qkv(block.norm1(tokens)).unflatten(-1, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attention = ((q @ k.transpose(-2, -1)) * attn.scale).softmax(dim=-1)
        tokens = tokens + attn.proj((attention @ v).transpose(1, 2).flatten(2))
        tokens = tokens + block.mlp(block.norm2(tokens))
    return q[0], k[0]


def published_mask(q: Tensor, k: Tensor, columns: int, heads: int = 5, topk: float = 0.4,
                   mass: float = 0.5) -> np.ndarray:
    """The mask (rows, columns) bool, by the n x n affinities."""
    attention = (q[:, :1] @ k[:, 1:].transpose(-2, -1))[:heads, 0]
    scores = attention.mean(0)
    values, order = torch.sort(scores)
    kept = torch.cumsum(values / values.sum(), 0) > 1 - mass
    kept = kept[torch.argsort(order)]
    proposed = torch.topk(scores * kept, int(topk * len(scores))).indices
    keys = k[:, 1:].transpose(0, 1).reshape(len(scores), -1)
    affinity = keys @ keys.T
    seed = proposed[0]
    sources = proposed[affinity[seed, proposed] > 0]
    cells = (affinity[sources].sum(0) > 0).reshape(-1, columns).numpy()
    components, _ = ndimage.label(cells)
    return components == components[seed // columns, seed % columns]

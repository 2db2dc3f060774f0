"""The mask of one object from queries and keys of a ViT block: grown from the patch the class token sees most."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor


@dataclass(frozen=True)
class ObjectSeedSettings:
    """How a mask is grown (docs/methods/maskdistill.md §3).

    Args:
        heads: Number of first heads in the scores; a network with fewer gives all of its heads.
        topk: Share of the patches that are proposed at most, in (0, 1].
        mass: Share of the scores' sum that the kept patches hold, in (0, 1].
        softmax: Score by softmax attention instead of raw dot products.
        center_keys: Subtract the mean patch key before the affinity.
        compat: Keep and propose as published: negative sums turn the order round, and patches that are not kept may be
            proposed. Ties, which no document decides, go to the lowest index.

    Raises:
        ValueError: If a value is out of its range.
    """

    heads: int = 5
    topk: float = 0.4
    mass: float = 0.5
    softmax: bool = False
    center_keys: bool = False
    compat: bool = False

    def __post_init__(self) -> None:
        if self.heads < 1 or not 0 < self.topk <= 1 or not 0 < self.mass <= 1:
            raise ValueError(f'heads={self.heads}, topk={self.topk}, mass={self.mass}: heads must be at least 1, topk '
                             'and mass in (0, 1].')


@dataclass(frozen=True)
class ObjectSeed:
    """A mask and the steps to it.

    Args:
        mask: (rows, columns) bool; all False if there is no object.
        scores: (n,) scores of the patches.
        kept: (n,) bool, the patches of the mass rule.
        proposed: (k,) patches with the best scores, the best one first.
        seed: The first of them; None if there is no object.
        source_nodes: Those of `proposed` with positive affinity to the seed.
        seed_affinity: (n,) affinity to the seed.
        diffused: (n,) affinity to all source nodes.
    """

    mask: Tensor
    scores: Tensor
    kept: Tensor
    proposed: Tensor
    seed: int | None
    source_nodes: Tensor
    seed_affinity: Tensor
    diffused: Tensor


def class_token_scores(q: Tensor, k: Tensor, heads: int = 5, softmax: bool = False) -> Tensor:
    """How much the class token looks at the patches.

    Args:
        q: (heads, 1 + n, d), or (heads, 1, d) of the class token alone.
        k: (heads, 1 + n, d), class token first.
        heads: Number of first heads that are averaged.
        softmax: Softmax over all tokens of the scaled products, instead of the products.

    Returns:
        (n,) float32.
    """
    products = (k[:heads].float() @ q[:heads, 0].float().unsqueeze(-1)).squeeze(-1)
    if softmax:
        products = torch.softmax(products * q.shape[-1]**-0.5, dim=-1)
    return products.mean(0)[1:]


def mass_rule(scores: Tensor, mass: float = 0.5) -> Tensor:
    """The best patches that hold a share of the sum: those with a cumulated ascending share above 1 - `mass`.

    Args:
        scores: (..., n). With a negative sum the order of the shares is turned round, with a sum of 0 none is kept.
        mass: The share, in (0, 1].

    Returns:
        (..., n) bool (docs/methods/maskdistill.md §3 step 2).
    """
    ascending, order = scores.sort(dim=-1, stable=True)
    share = (ascending / ascending.sum(-1, keepdim=True)).cumsum(-1)
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, order, share > 1 - mass)


def propose_patches(scores: Tensor, settings: ObjectSeedSettings) -> tuple[Tensor, Tensor]:
    """Kept patches (n,) bool and proposed patches (at most trunc(topk * n)), the best one first."""
    number = int(settings.topk * len(scores))
    if settings.compat:
        kept = mass_rule(scores, settings.mass)
        ranked = torch.where(kept, scores, torch.zeros_like(scores)).sort(descending=True, stable=True).indices
        return kept, ranked[:number]
    positive = scores if scores.sum() > 0 else scores - scores.min()
    kept = mass_rule(positive, settings.mass)
    ranked = scores.sort(descending=True, stable=True).indices
    return kept, ranked[kept[ranked]][:number]


@torch.no_grad()
def grow_mask(q: Tensor, k: Tensor, columns: int, settings: ObjectSeedSettings | None = None) -> ObjectSeed:
    """The component of the seed among the patches whose keys agree with the proposed ones.

    The n x n affinity is never formed: its needed rows and sums are products of the keys with one vector, O(n width).

    Args:
        q: (heads, 1 + n, d), or (heads, 1, d) of the class token alone; without the factor 1/sqrt(d).
        k: (heads, 1 + n, d), class token first.
        columns: Columns of the patch grid.
        settings: None: the defaults.

    Returns:
        The mask and its steps (docs/methods/maskdistill.md §3, §18).

    Raises:
        ValueError: If the patches do not fill whole rows.
    """
    settings = settings or ObjectSeedSettings()
    n = k.shape[1] - 1
    if n < 1 or columns < 1 or n % columns:
        raise ValueError(f'{n} patches do not fill rows of {columns} columns.')
    scores = class_token_scores(q, k, settings.heads, settings.softmax)
    keys = k[:, 1:].float().transpose(0, 1).flatten(1)
    if settings.center_keys:
        keys = keys - keys.mean(0)
    empty = torch.zeros(n, dtype=torch.bool, device=k.device)
    none = torch.empty(0, dtype=torch.long, device=k.device)
    if not (scores.isfinite().all() and keys.isfinite().all()):
        return ObjectSeed(empty.view(-1, columns), scores, empty, none, None, none, scores * 0, scores * 0)
    kept, proposed = propose_patches(scores, settings)
    if not len(proposed):
        return ObjectSeed(empty.view(-1, columns), scores, kept, proposed, None, none, scores * 0, scores * 0)
    seed = int(proposed[0])
    seed_affinity = keys @ keys[seed]
    source_nodes = proposed[seed_affinity[proposed] > 0]
    diffused = keys @ keys[source_nodes].sum(0)
    mask = seed_component((diffused > 0).view(-1, columns), seed)
    return ObjectSeed(mask, scores, kept, proposed, seed if mask.any() else None, source_nodes, seed_affinity, diffused)


def seed_component(cells: Tensor, seed: int) -> Tensor:
    """The 4-connected component of cells (h, w) bool that holds cell `seed` (row-major); none if it is False."""
    labels, _ = ndimage.label(cells.cpu().numpy())
    label = labels.reshape(-1)[seed]
    return torch.from_numpy(np.logical_and(labels == label, label > 0)).to(cells.device)

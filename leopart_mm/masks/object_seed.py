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
        compat: Keep and propose as published: negative sums turn the order round, patches that are not kept may be
            proposed, and where there is no object the whole image is one. Ties, which no document decides, go to the
            lowest index.

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
        mask: (rows, columns) bool; all False if there is no object (all True with `compat`).
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
    heads, width = min(heads, len(k)), k.shape[-1]
    keys = flat_keys(k)[:, :heads * width]
    query = q[:heads, 0].float()
    if not softmax:
        return keys[1:] @ query.flatten() / heads
    products = (keys.unflatten(1, (heads, width)) * query).sum(-1)
    return torch.softmax(products * width**-0.5, dim=0).mean(1)[1:]


def flat_keys(k: Tensor) -> Tensor:
    """Keys (heads, N, d) with the heads side by side, (N, heads * d) float32: no copy if they lie so in memory."""
    return k.transpose(0, 1).flatten(1).float()


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
    keys = flat_keys(k)[1:]
    if settings.center_keys:
        keys = keys - keys.mean(0)
    kept, proposed = propose_patches(scores, settings)
    seed, source_nodes = None, proposed[:0]
    seed_affinity = diffused = torch.zeros_like(scores)
    mask = torch.full((n // columns, columns), settings.compat, device=k.device)
    if len(proposed) and scores.isfinite().all():
        best = int(proposed[0])
        seed_affinity = keys @ keys[best]
        if seed_affinity[best] > 0 and seed_affinity.isfinite().all():  # which no key that is not finite leaves so
            seed = best
            chosen = torch.zeros_like(scores)
            chosen[proposed] = (seed_affinity[proposed] > 0).float()
            source_nodes = proposed[chosen[proposed] > 0]
            diffused = keys @ (chosen @ keys)
            mask = seed_component((diffused > 0).view(-1, columns), seed)
    return ObjectSeed(mask, scores, kept, proposed, seed, source_nodes, seed_affinity, diffused)


def seed_component(cells: Tensor, seed: int) -> Tensor:
    """The 4-connected component of cells (h, w) bool that holds cell `seed` (row-major); none if it is False."""
    labels, _ = ndimage.label(cells.cpu().numpy())
    label = labels.reshape(-1)[seed]
    return torch.from_numpy(np.logical_and(labels == label, label > 0)).to(cells.device)

"""The mask of one object from queries and keys of a ViT block: grown from the patch the class token sees most."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
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
        best: The patches of the mass rule.
        proposed: (k,) patches with the best scores, the best one first.
        seed: The first of them; None if there is no object.
        source_nodes: Those of `proposed` with positive affinity to the seed.
        diffused: (n,) affinity to all source nodes; 0 if there is no object.
        keys: (n, heads * d) keys of the patches, which affinities are products of.
    """

    mask: Tensor
    scores: Tensor
    best: Tensor
    proposed: Tensor
    seed: int | None
    source_nodes: Tensor
    diffused: Tensor
    keys: Tensor

    @property
    def kept(self) -> Tensor:
        """(n,) bool, the patches of the mass rule."""
        return torch.zeros_like(self.scores, dtype=torch.bool).index_fill_(0, self.best, True)

    @property
    def seed_affinity(self) -> Tensor:
        """(n,) affinity to the seed; 0 if there is no object."""
        return torch.zeros_like(self.diffused) if self.seed is None else self.keys @ self.keys[self.seed]


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
    ranked, order = scores.sort(dim=-1, descending=True, stable=True)
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, order, _keep_ranked(ranked, mass))


def _keep_ranked(ranked: Tensor, mass: float) -> Tensor:
    """Which of descending scores (..., n) are kept, see `mass_rule`; cumulated from the last one on."""
    ascending = ranked.flip(-1)
    return ((ascending / ascending.sum(-1, keepdim=True)).cumsum(-1) > 1 - mass).flip(-1)


def propose_patches(scores: Tensor, settings: ObjectSeedSettings) -> tuple[Tensor, Tensor]:
    """Kept patches, in any order, and proposed patches (at most trunc(topk * n)), the best one first."""
    number = int(settings.topk * len(scores))
    if settings.compat:
        kept = mass_rule(scores, settings.mass)
        order = torch.where(kept, scores, torch.zeros_like(scores)).sort(descending=True, stable=True).indices
        return kept.nonzero()[:, 0], order[:number]
    ranked, order = scores.sort(descending=True, stable=True)
    count = int(_keep_ranked(ranked if ranked.sum() > 0 else ranked - ranked[-1], settings.mass).sum())
    return order[:count], order[:min(count, number)]  # of scores from 0 on the first ones are kept


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
    best, proposed = propose_patches(scores, settings)
    candidates = keys.index_select(0, proposed)
    positive = candidates @ candidates[:1].sum(0) > 0
    diffused = keys @ (positive.float() @ candidates)
    if len(proposed) and positive[0] and math.isfinite(scores.sum() + diffused.sum()):  # so all keys are finite
        seed = int(proposed[0])
        mask = seed_component((diffused > 0).view(-1, columns), seed)
        return ObjectSeed(mask, scores, best, proposed, seed, proposed[positive], diffused, keys)
    mask = torch.full((n // columns, columns), settings.compat, device=k.device)
    return ObjectSeed(mask, scores, best, proposed, None, proposed[:0], torch.zeros_like(scores), keys)


def seed_component(cells: Tensor, seed: int) -> Tensor:
    """The 4-connected component of cells (h, w) bool that holds cell `seed` (row-major); none if it is False."""
    values = cells.cpu().numpy().astype(np.uint8)
    rows, columns = values.shape
    filled = np.zeros((rows + 2, columns + 2), np.uint8)  # OpenCV wants a border around it
    start = seed % columns, seed // columns
    if values[start[::-1]]:
        cv2.floodFill(values, filled, start, 1, flags=4 | cv2.FLOODFILL_MASK_ONLY | 1 << 8)
    return torch.from_numpy(filled[1:-1, 1:-1].astype(bool)).to(cells.device)

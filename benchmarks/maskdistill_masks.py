"""MaskDistill's masks: grown by products of the keys with single vectors, beside all affinities between patches."""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.base import Benchmark, benchmark

TOPK = 0.2  # of 0.4, the published form fills up with patches that are not kept, in an order of its own


def queries_and_keys(images: int, rows: int, columns: int, heads: int, dims: int) -> tuple[Tensor, Tensor]:
    """(N, heads, 1, d) and (N, heads, 1 + rows * columns, d), as a network gives them: a large ellipse of like keys,
    whose opposite is around it, in noise. So the sum of scores is positive."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(rows) / rows, torch.arange(columns) / columns, indexing='ij')
    keys = torch.randn(images, 1 + rows * columns, heads * dims, generator=generator)
    queries = torch.empty(images, 1, heads * dims)
    for index in range(images):
        object_key = torch.randn(heads * dims, generator=generator)
        centre, radius = (0.48 + 0.04 * torch.rand(2, generator=generator),
                          0.42 + 0.06 * torch.rand(2, generator=generator))
        inside = ((y - centre[0]) / radius[0])**2 + ((x - centre[1]) / radius[1])**2 <= 1
        keys[index, 1:] += 0.3 * torch.where(inside.flatten(), 1, -1)[:, None] * object_key
        queries[index] = object_key + torch.randn(heads * dims, generator=generator)
    return (tokens.unflatten(2, (heads, dims)).transpose(1, 2) for tokens in (queries, keys))


@benchmark('maskdistill-masks')
class MaskDistillMasks(Benchmark):
    """Masks of 2 images of 853 x 640 (54 x 40 patches) from the keys of a ViT-S/16; then the whole step."""

    expected: ClassVar[float] = 20.
    rounds: ClassVar[int] = 2
    threads: ClassVar[int | None] = 1
    clock: ClassVar[str] = 'cpu'  # both compute on one core throughout: other load must not decide
    compared: ClassVar[str] = 'every patch of every mask'
    devices: ClassVar[tuple[str, ...]] = ('cpu', 'cuda')

    def setup(self, quick: bool) -> None:
        """Queries and keys of the size that a short side of 640 pixels gives."""
        self.quick = quick
        self.images, self.rows, self.columns = (2, 10, 14) if quick else (2, 40, 54)
        self._make(self.images)

    def _make(self, images: int) -> None:
        self.queries, self.keys = (
            tokens.to(self.device) for tokens in queries_and_keys(images, self.rows, self.columns, 6, 64))

    def ours(self) -> list[np.ndarray]:
        """One row of the affinities, and their sum over the chosen patches."""
        from leopart_mm.masks.object_seed import ObjectSeedSettings, grow_mask
        settings = ObjectSeedSettings(topk=TOPK)
        return [grow_mask(q, k, self.columns, settings).mask.cpu().numpy()
                for q, k in zip(self.queries, self.keys, strict=True)]

    def baseline(self) -> list[np.ndarray]:
        """All affinities."""
        from benchmarks.published_maskdistill import published_mask
        return [published_mask(q, k, self.columns, topk=TOPK) for q, k in zip(self.queries, self.keys, strict=True)]

    def same(self, ours: Any, baseline: Any) -> bool:
        """Equal masks, of objects."""
        return all(np.array_equal(*pair) and 0 < pair[0].mean() < 1 for pair in zip(ours, baseline, strict=True))

    @torch.no_grad()
    def details(self) -> list[str]:
        """Masks of many images, whose keys come from memory and no cache; and the whole step of one image, from the
        network's input to the mask, on one core."""
        from benchmarks.device import least_time
        from benchmarks.published_maskdistill import last_queries_and_keys, published_mask
        from leopart_mm.masks.object_seed import ObjectSeedSettings, grow_mask
        from leopart_mm.models.backbones import DenseViT
        torch.manual_seed(0)
        self._make(2 if self.quick else 8)
        times = 1 if self.quick else 2
        (many, _), (many_published, _) = (least_time(call, times, self.device) for call in (self.ours, self.baseline))
        depth = dict(depth=2, embed_dim=96, num_heads=6) if self.quick else {}
        network = DenseViT('vit_small_patch16_224', model_kwargs=depth).eval().to(self.device)
        image = torch.randn(3, 16 * self.rows, 16 * self.columns).to(self.device)
        compat = ObjectSeedSettings(compat=True)

        def network_ours() -> Any:
            return network.forward_dense(image[None], (), class_query_block=-1)

        def whole_ours() -> np.ndarray:
            features = network_ours()
            return grow_mask(features.class_q[0], features.token_k[0], self.columns, compat).mask.cpu().numpy()

        def whole_published() -> np.ndarray:
            return published_mask(*last_queries_and_keys(network, image), self.columns)

        (ours, mask), (published, other), (bare, _) = (
            least_time(call, times, self.device) for call in (whole_ours, whole_published, network_ours))
        return [f'  {len(self.keys)} images, more than the caches hold: {many:.4f} s, published {many_published:.4f} s '
                f'({many_published / many:.1f}x faster)',
                f'  whole step of one image, {self.rows * self.columns} patches, network with random weights: '
                f'{ours:.3f} s, published {published:.3f} s ({published / ours:.2f}x faster); '
                f'{bare / ours:.1%} of ours is the network',
                f'  its masks agree on {np.mean(mask == other):.1%} of the patches']


"""k nearest keys by inner product: exact in torch or faiss, approximate by an inverted file.

Source: docs/methods/neco.md §8.4.
"""

import numpy as np
import torch
from torch import Tensor

from leopart_mm.devices import exact_products, require_faiss_beside_torch

Neighbours = tuple[Tensor, Tensor]

INDEXES = ('auto', 'torch', 'faiss', 'ivf')
KEY_CHUNK = 2**12
QUERY_CHUNK = 2**10
GPU_KEY_CHUNK = 2**17
RESCORED = 4  # times k candidates are scored again in float32 where half-precision products found them
IVF_SAMPLES_PER_LIST = 64


def search(queries: Tensor, keys: Tensor, k: int, index: str = 'auto') -> Neighbours:
    """The `k` keys of largest inner product with each query, exact.

    Keys may be float16: half the memory, with products in float32. Cosines then differ by at most 2e-4 from those of
    float32 keys, so that only neighbours at the edge of the k change (0.1 % of 30 among 60,000 patches of a ViT-Ti).

    Args:
        queries: (Q, D) float32.
        keys: (N, D) float32 or float16 on the same device, N >= k.
        k: Number of neighbours, 1..N.
        index: 'torch', 'faiss' (CPU only), or 'auto', which is torch: on real features, whose near keys come in rows,
            faiss's flat search took three times as long (on random vectors two thirds).

    Returns:
        Inner products (Q, k) float32, in falling order, and rows of `keys` (Q, k) int64.

    Raises:
        ValueError: If k is not in 1..N, the index is unknown, or faiss is asked for keys on a GPU.

    >>> values, rows = search(torch.tensor([[1., 0.]]), torch.tensor([[.6, .8], [.8, .6], [0., 1.]]), k=1)
    >>> rows.tolist()
    [[1]]
    """
    check_k(k, len(keys))
    on_cpu = keys.device.type == 'cpu'
    if index not in ('auto', 'torch', 'faiss'):
        raise ValueError(f'index={index!r} is no exact search; choose from: auto, torch, faiss.')
    if index == 'faiss' and not on_cpu:
        raise ValueError("index='faiss' searches on the CPU, but the keys are on a GPU: use index='torch' (exact too).")
    if index == 'faiss':
        require_faiss_beside_torch("index='faiss'")
    step = KEY_CHUNK if on_cpu else GPU_KEY_CHUNK
    with exact_products():
        half = keys.dtype == torch.float16 and not on_cpu
        results = [_search_half(part, keys, k, step) if half else _search_exact(part, keys, k, step, index)
                   for part in queries.float().split(QUERY_CHUNK)]
    if not results:
        return queries.new_zeros(0, k), torch.zeros(0, k, dtype=torch.long, device=queries.device)
    return torch.cat([values for values, _ in results]), torch.cat([rows for _, rows in results])


def check_k(k: int, number: int) -> None:
    """Raise ValueError unless 1 <= k <= number of keys."""
    if not 1 <= k <= number:
        raise ValueError(f'{k} neighbours cannot be found among {number} keys: set k to 1..{number}, or fill the '
                         'memory from more images (a larger memory_size, fewer void pixels).')


def merge(best: Neighbours | None, new: Neighbours, k: int) -> Neighbours:
    """The k best of two lists of (values, rows); of equal values the first list's stay first."""
    if best is None:
        return new
    values, rows = (torch.cat([a, b], dim=1) for a, b in zip(best, new, strict=True))
    order = values.argsort(dim=1, descending=True, stable=True)[:, :k]
    return values.gather(1, order), rows.gather(1, order)


def _search_exact(queries: Tensor, keys: Tensor, k: int, step: int, index: str) -> Neighbours:
    best = None
    for start in range(0, len(keys), step):
        chunk = keys[start:start + step].float()
        values, rows = _top_faiss(queries, chunk, k) if index == 'faiss' else _top(queries @ chunk.T, k)
        best = merge(best, (values, rows + start), k)
    return best


def _top(products: Tensor, k: int) -> Neighbours:
    values, rows = products.topk(min(k, products.shape[1]), dim=1)
    return values.float(), rows


def _top_faiss(queries: Tensor, keys: Tensor, k: int) -> Neighbours:
    import faiss
    values, rows = faiss.knn(queries.contiguous().numpy(), keys.contiguous().numpy(), min(k, len(keys)),
                             metric=faiss.METRIC_INNER_PRODUCT)
    return torch.from_numpy(values), torch.from_numpy(rows)


def _search_half(queries: Tensor, keys: Tensor, k: int, step: int) -> Neighbours:
    """Candidates by half-precision products (tensor cores), scored again in float32."""
    candidates = min(RESCORED * k, len(keys))
    best = None
    for start in range(0, len(keys), step):
        values, rows = _top(queries.half() @ keys[start:start + step].T, candidates)
        best = merge(best, (values, rows + start), candidates)
    rows = best[1]
    parts = zip(queries.split(256), rows.split(256), strict=True)
    products = torch.cat([(keys[near].float() @ part[..., None]).squeeze(-1) for part, near in parts])
    values, order = products.topk(k, dim=1)
    return values, rows.gather(1, order)


class InvertedFile:
    """Approximate search: keys in lists around k-means centroids, of which a query visits the nearest few.

    The index holds a copy of the keys in float32. With as many probes as lists it is exact.

    Args:
        keys: (N, D) on the CPU.
        num_lists: Number of lists (the published benchmark's tree has 512 leaves); at most N / 39 are made, as faiss
            advises.
        num_probes: Number of lists that a query visits (published: 32).
        seed: Seed of the k-means.
    """

    def __init__(self, keys: Tensor, num_lists: int = 512, num_probes: int = 32, seed: int = 0) -> None:
        if keys.device.type != 'cpu':
            raise ValueError("index='ivf' searches on the CPU, but the keys are on a GPU: use index='torch'.")
        require_faiss_beside_torch("index='ivf'")
        import faiss
        num_lists = max(1, min(num_lists, len(keys) // 39))
        quantizer = faiss.IndexFlatIP(keys.shape[1])
        self.index = faiss.IndexIVFFlat(quantizer, keys.shape[1], num_lists, faiss.METRIC_INNER_PRODUCT)
        self.index.cp.seed = seed
        self.index.nprobe = min(num_probes, num_lists)
        chosen = np.random.default_rng(seed).permutation(len(keys))[:num_lists * IVF_SAMPLES_PER_LIST]
        self.index.train(keys[torch.from_numpy(np.sort(chosen))].float().numpy())
        for part in keys.split(KEY_CHUNK):
            self.index.add(part.float().contiguous().numpy())

    def search(self, queries: Tensor, k: int) -> Neighbours:
        """As the function `search`; where the lists of a query hold fewer than k keys: row -1, product -inf."""
        check_k(k, self.index.ntotal)
        values, rows = self.index.search(queries.float().contiguous().numpy(), k)
        return torch.from_numpy(values).masked_fill(torch.from_numpy(rows < 0), -torch.inf), torch.from_numpy(rows)

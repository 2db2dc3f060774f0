"""FeatureCache: dense features of images, found by the bytes that gave them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.cache import ImageCache
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.requests import Requests

MAP = 'map'
QKV = ('q', 'k', 'v')
CLASS_QUERY = ('class_q', 'token_k')


def image_digest(image: Tensor) -> str:
    """A fingerprint of an image (C, H, W) of any type: equal for equal bytes, type and shape."""
    array = image.contiguous().cpu().numpy()
    return hashlib.blake2b(f'{array.dtype}{array.shape}'.encode() + array.tobytes(), digest_size=16).hexdigest()


def image_keys(digests: Sequence[str], inputs: Tensor, metas: Sequence[dict]) -> list[str]:
    """Keys of images as the network sees them: their bytes, the size (H, W) of the batch, and their padding."""
    size = tuple(inputs.shape[-2:])
    return [f'{digest} {size} {meta.get("img_padding_size", meta.get("padding_size"))}'
            for digest, meta in zip(digests, metas, strict=True)]


@dataclass
class _Layout:
    """What is known of an image's features beside the tensors."""

    grid: tuple[int, int]
    extent: Extent
    num_maps: int


class FeatureCache:
    """Features of images by key: the map of one index, and what else was computed with it.

    Args:
        place, half: As in ImageCache.

    Attributes:
        tensors: The ImageCache.
        computed: Number of images that went through the network, repeats counted.
        expected: What later readers will request of images, see `with_expected`.
    """

    def __init__(self, place: str | None = 'auto', half: bool = False) -> None:
        self.tensors = ImageCache(place, half)
        self.computed = 0
        self.expected: list[Requests] = []
        self._layouts: dict[str, _Layout] = {}

    @property
    def active(self) -> bool:
        """Whether anything is kept."""
        return self.tensors.chosen is not None

    def with_expected(self, requests: Requests) -> Requests:
        """What to compute of an image, so that the network need not run again for what later readers request.

        Only requests that go together: q, k, v of another block are computed when they are asked for.
        """
        for later in self.expected:
            try:
                requests = requests | later
            except ValueError:
                continue
        return requests

    def put(self, batch: FeatureBatch, in_index: int | None, requests: Requests) -> None:
        """Keep the map `in_index` (None: no map) of a batch with `cache_keys`, its attention, queries, keys and values.
        """
        maps = batch.features.maps
        for key, extent in zip(batch.cache_keys, batch.extents, strict=True):
            self._layouts[key] = _Layout(batch.features.grid, extent, len(maps))
        tensors = {} if in_index is None else {_map_name(in_index, len(maps)): maps[in_index]}
        tensors.update({name: getattr(batch.features, source) for name, source in _extras(requests).items()
                        if getattr(batch.features, source) is not None})
        self.tensors.put(batch.cache_keys, tensors)

    def has(self, key: str, in_index: int | None, requests: Requests) -> bool:
        """Whether all that is asked for is kept of an image; `in_index` None asks for no map."""
        layout = self._layouts.get(key)
        return layout is not None and self.tensors.has(key, self._names(layout, in_index, requests).values())

    def get(self, keys: Sequence[str], in_index: int | None, requests: Requests, device: torch.device
            ) -> tuple[DenseFeatures, list[Extent]]:
        """Features of images of one size, as the network gave them, and their extents.

        Maps other than `in_index` have no channels, and `cls_token` is None.

        Raises:
            KeyError: If something of them is not kept, see `has`.
        """
        layout = self._layouts[keys[0]]
        names = self._names(layout, in_index, requests)
        found = {target: self.tensors.stack(keys, name, device) for target, name in names.items()}
        empty = torch.empty(len(keys), 0, *layout.grid, device=device)
        maps = [empty] * layout.num_maps
        if MAP in found:
            maps[in_index] = found.pop(MAP)
        return (DenseFeatures(maps=tuple(maps), grid=layout.grid, **found),
                [self._layouts[key].extent for key in keys])

    def discard_maps(self, keys: Sequence[str], in_index: int) -> None:
        """Drop the maps of images; what else is kept of them stays."""
        for key in keys:
            if key in self._layouts:
                self.tensors.discard([key], [_map_name(in_index, self._layouts[key].num_maps)])

    def discard_all_maps(self) -> None:
        """Drop the maps of all images."""
        for index in range(max((layout.num_maps for layout in self._layouts.values()), default=0)):
            self.discard_maps(list(self._layouts), index)

    def close(self) -> None:
        """Drop everything and remove temporary files; nothing is kept from now on."""
        self.tensors.close()
        self._layouts.clear()

    @staticmethod
    def _names(layout: _Layout, in_index: int | None, requests: Requests) -> dict[str, str]:
        """Field of DenseFeatures (or MAP) -> name of the tensor in the cache."""
        names = {source: name for name, source in _extras(requests).items()}
        return names if in_index is None else {MAP: _map_name(in_index, layout.num_maps), **names}


def _map_name(in_index: int, num_maps: int) -> str:
    return f'{MAP}{in_index % num_maps}'


def _extras(requests: Requests) -> dict[str, str]:
    """Name of the tensor in the cache -> field of DenseFeatures, for what is asked for beside the map."""
    extras = {'cls_attention': 'cls_attention'} if requests.attention else {}
    for block, names in ((requests.qkv, QKV), (requests.class_query, CLASS_QUERY)):
        if block is not None:
            extras.update({f'{name}{block}': name for name in names})
    return extras


def build_cache(cache: Any) -> FeatureCache:
    """A FeatureCache from a place, a dict of arguments, or one that is built already."""
    if isinstance(cache, FeatureCache):
        return cache
    return FeatureCache(**cache) if isinstance(cache, dict) else FeatureCache(cache)

"""Batches of some of the images of a batch, and back."""

from collections.abc import Sequence

import torch
from torch import Tensor

from leopart_mm.devices import move
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.feature_batch import FeatureBatch


def pick(batch: FeatureBatch, images: Sequence[int]) -> FeatureBatch:
    """Features, names, extents and cache keys of the images of these indices."""
    return FeatureBatch(
        batch.features.select(images), None, [batch.names[index] for index in images],
        [batch.extents[index] for index in images], cache_keys=[batch.cache_keys[index] for index in images])


def join(parts: Sequence[tuple[Sequence[int], FeatureBatch]]) -> FeatureBatch:
    """The batch of whose images at the given indices the parts consist; `pick` undone.

    What one part lacks is left out. Maps without channels in one part (of images whose reduced features stand for them)
    have none in the result.
    """
    places = [index for indices, _ in parts for index in indices]
    batches = [batch for _, batch in parts]
    order = torch.tensor(places).argsort()

    def merged(values: Sequence[Tensor | None]) -> Tensor | None:
        if any(value is None for value in values):
            return None
        return torch.cat(list(values))[move(order, values[0].device)]

    def in_order(name: str) -> list:
        return [value for _, value in sorted(zip(places, [x for batch in batches for x in getattr(batch, name)],
                                                 strict=True), key=lambda pair: pair[0])]

    features = [batch.features for batch in batches]
    maps = []
    for values in zip(*(part.maps for part in features), strict=True):
        channels = min(value.shape[1] for value in values)
        maps.append(merged([value if channels else value[:, :0] for value in values]))
    tensors = {name: merged([getattr(part, name) for part in features])
               for name in vars(features[0]) if name not in ('maps', 'grid')}
    return FeatureBatch(DenseFeatures(tuple(maps), features[0].grid, **tensors), None, in_order('names'),
                        in_order('extents'), cache_keys=in_order('cache_keys'))

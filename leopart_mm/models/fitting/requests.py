"""Requests: what a stage needs to know of an image beside what the stages before it gave."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Requests:
    """What must be in a `FeatureBatch` beside the predictions of the stages before; `a | b` is the union.

    Args:
        attention: `features.cls_attention`, the attention of the class token in the last block.
        qkv: Block whose queries, keys and values are needed (`features.q`, `k`, `v`); may be negative, None: none.
        reduced: `features.reduced`, the features as the head clusters them.
        images: `FeatureBatch.inputs`.
        maps: `features.maps`. The head always gets them; for the stages after it a stream may keep reduced features
            only, unless one of them asks.
        networks: Further networks (`Network`), each with what is needed of it: `FeatureBatch.others`. Its maps are
            those of its last `out_indices`.

    >>> Requests(attention=True) | Requests(qkv=11)
    Requests(attention=True, qkv=11, reduced=False, images=False, maps=False, networks=())
    """

    attention: bool = False
    qkv: int | None = None
    reduced: bool = False
    images: bool = False
    maps: bool = False
    networks: tuple[tuple[Any, 'Requests'], ...] = ()

    def __or__(self, other: 'Requests') -> 'Requests':
        if None not in (self.qkv, other.qkv) and self.qkv != other.qkv:
            raise ValueError(f'Two stages ask for queries, keys and values of two blocks, {self.qkv} and {other.qkv}; '
                             'a batch holds those of a single block: let both ask for the same number.')
        qkv = self.qkv if other.qkv is None else other.qkv
        networks = dict(self.networks)
        for network, requests in other.networks:
            networks[network] = networks.get(network, Requests()) | requests
        return Requests(self.attention or other.attention, qkv, self.reduced or other.reduced,
                        self.images or other.images, self.maps or other.maps, tuple(networks.items()))

    @classmethod
    def union(cls, requests: Iterable['Requests']) -> 'Requests':
        """What all of `requests` ask for."""
        total = cls()
        for each in requests:
            total = total | each
        return total

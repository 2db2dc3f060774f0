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
        class_query: Block whose query of the class token and whose keys are needed (`features.class_q`, `token_k`);
            may be negative, None: none.
        reduced: `features.reduced`, the features as the head clusters them.
        images: `FeatureBatch.inputs`.
        maps: `features.maps`. The head always gets them; for the stages after it a stream may keep reduced features
            only, unless one of them asks.
        networks: Further networks (`Network`), each with what is needed of it: `FeatureBatch.others`. Its maps are
            those of its last `out_indices`.

    >>> Requests(attention=True) | Requests(qkv=11)
    Requests(attention=True, qkv=11, class_query=None, reduced=False, images=False, maps=False, networks=())
    """

    attention: bool = False
    qkv: int | None = None
    class_query: int | None = None
    reduced: bool = False
    images: bool = False
    maps: bool = False
    networks: tuple[tuple[Any, 'Requests'], ...] = ()

    def __or__(self, other: 'Requests') -> 'Requests':
        qkv = _one_block(self.qkv, other.qkv, 'queries, keys and values')
        class_query = _one_block(self.class_query, other.class_query, 'the query of the class token and the keys')
        networks = dict(self.networks)
        for network, requests in other.networks:
            networks[network] = networks.get(network, Requests()) | requests
        return Requests(self.attention or other.attention, qkv, class_query, self.reduced or other.reduced,
                        self.images or other.images, self.maps or other.maps, tuple(networks.items()))

    @property
    def of_attention(self) -> dict[str, Any]:
        """Arguments of `forward_dense`: what is needed of the attention of the backbone's blocks; {}: nothing."""
        asked = dict(cls_attention=self.attention or None, qkv_block=self.qkv, class_query_block=self.class_query)
        return {name: value for name, value in asked.items() if value is not None}

    @classmethod
    def union(cls, requests: Iterable['Requests']) -> 'Requests':
        """What all of `requests` ask for."""
        total = cls()
        for each in requests:
            total = total | each
        return total


def _one_block(first: int | None, second: int | None, what: str) -> int | None:
    if None not in (first, second) and first != second:
        raise ValueError(f'Two stages ask for {what} of two blocks, {first} and {second}; a batch holds those of a '
                         'single block: let both ask for the same number.')
    return first if second is None else second

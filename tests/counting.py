"""Counting how often images go through a network."""

from collections import Counter

from leopart_mm.models.backbones import DenseViT
from leopart_mm.models.fitting.feature_cache import image_digest


class Passes(Counter):
    """Passes of each image, by a digest of its normalised pixels; `by_network`: by that and the network's weights."""

    def __init__(self, *counts):  # with counts: as copies between processes are made
        super().__init__(*counts)
        self.by_network = Counter()


def count_passes(monkeypatch):
    """Passes of each image through any DenseViT from now on."""
    counts = Passes()
    forward = DenseViT.forward_dense

    def counted(self, image, *args, **kwargs):
        network = image_digest(self.blocks[0].attn.qkv.weight.detach())
        digests = [image_digest(one) for one in image]
        counts.update(digests)
        counts.by_network.update((network, digest) for digest in digests)
        return forward(self, image, *args, **kwargs)

    monkeypatch.setattr(DenseViT, 'forward_dense', counted)
    return counts

"""Counting how often images go through a network."""

from collections import Counter

from leopart_mm.models.backbones import DenseViT
from leopart_mm.models.fitting.feature_cache import image_digest


def count_passes(monkeypatch):
    """Passes of each image through any DenseViT from now on, by a digest of its normalised pixels."""
    counts = Counter()
    forward = DenseViT.forward_dense

    def counted(self, image, *args, **kwargs):
        counts.update(image_digest(one) for one in image)
        return forward(self, image, *args, **kwargs)

    monkeypatch.setattr(DenseViT, 'forward_dense', counted)
    return counts

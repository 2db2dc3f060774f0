"""Leopart: dense clustering with an EMA teacher."""

from leopart_mm.models.selfsup.crop_pair_model import CropPairModel
from leopart_mm.registry import MODELS


@MODELS.register_module()
class Leopart(CropPairModel):
    """`Self-Supervised Learning of Object Parts for Semantic Segmentation <https://arxiv.org/abs/2204.13101>`_.

    Arguments are those of `CropPairModel`; `head` is a LeopartLoss, which says what is logged.
    """

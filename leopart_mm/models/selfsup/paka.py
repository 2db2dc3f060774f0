"""PaKA: the patches of the student relate to each other as those of an EMA teacher do."""

from leopart_mm.models.selfsup.crop_pair_model import CropPairModel
from leopart_mm.registry import MODELS


@MODELS.register_module()
class PaKA(CropPairModel):
    """`Patch-level kernel alignment for dense self-supervised learning <https://arxiv.org/abs/2509.05606>`_ (PaKA).

    Arguments are those of `CropPairModel`; `head` is a PaKALoss, which says what is logged.
    """

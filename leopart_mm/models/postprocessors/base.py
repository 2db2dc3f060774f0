"""What a post-processor is: label maps in, label maps out, fitted without gradients where it needs data."""

from collections.abc import Iterable, Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor

from leopart_mm.models.feature_batch import FeatureBatch
from leopart_mm.models.features import DenseFeatures


class BasePostprocessor(BaseModule):
    """One stage after the head. What `fit` finds must be buffers, so that a checkpoint keeps it.

    Attributes:
        needs_attention: Whether `features.cls_attention` must be there, in `fit` and in `forward`.
        num_labels: How many labels its maps have (ids 0..num_labels-1); None keeps the number of the stage before.
    """

    needs_attention: bool = False
    num_labels: int | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether `forward` can run. Stages that fit nothing are always ready."""
        return True

    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """Fit on a stream that can be read several times; each batch's `labels` (S, B, h, w) come from before."""

    def forward(self, labels: Tensor, features: DenseFeatures, data_samples: Sequence[Any] | None) -> Tensor:
        """Label maps (S, B, h, w) of the stage before to new ones; S, h and w may change, B not.

        Raises:
            NotImplementedError: Unless a subclass defines it.
        """
        raise NotImplementedError(f'{type(self).__name__} must define forward.')

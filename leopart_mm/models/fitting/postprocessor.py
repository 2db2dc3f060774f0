"""What a post-processor is: label maps in, label maps out, fitted without gradients where it needs data."""

from collections.abc import Iterable, Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor

from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.feature_batch import FeatureBatch


class BasePostprocessor(BaseModule):
    """One stage after the head. What `fit` finds must be buffers, so that a checkpoint keeps it.

    Attributes:
        needs_attention: Whether `features.cls_attention` must be there; may change with what the stage is about to do.
        needs_inputs: Whether `FeatureBatch.inputs` must be there.
        needs_reduced: Whether `features.reduced` must be there, the features as the head clusters them.
        keep_pictures: Set where the stage's pictures are wanted: it may then need more.
        num_labels: How many labels its maps have (ids 0..num_labels-1); None keeps the number of the stage before.
    """

    needs_attention: bool = False
    needs_inputs: bool = False
    needs_reduced: bool = False
    keep_pictures: bool = False
    num_labels: int | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether `forward` can run. Stages that fit nothing are always ready."""
        return True

    def reset(self) -> None:
        """Forget what was fitted; called on all stages before they are fitted (again)."""

    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """Fit on a stream that can be read several times.

        Each batch's `labels` (S, B, h, w) come from the stage before; `stream.num_labels` says how many ids they have.
        """

    def pictures(self, batch: FeatureBatch) -> dict[str, Tensor]:
        """Maps (B, h, w) to look at beside the stage's labels, by title; only with `keep_pictures`."""
        return {}

    def forward(self, labels: Tensor, features: DenseFeatures, data_samples: Sequence[Any] | None) -> Tensor:
        """Label maps (S, B, h, w) of the stage before to new ones; S, h and w may change, B not.

        Raises:
            NotImplementedError: Unless a subclass defines it.
        """
        raise NotImplementedError(f'{type(self).__name__} must define forward.')

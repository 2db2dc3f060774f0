"""The interfaces of what is fitted without gradients: a head, and the post-processors after it."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from leopart_mm.models.fitting.debias import PositionDebias
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.models.fitting.state import FittedState
from leopart_mm.models.fitting.tensor_stages import TensorStage

GRID, PIXEL = 'grid', 'pixel'
LEVELS = (GRID, PIXEL)


class FittableHead(FittedState, BaseModule):
    """Turns the backbone's maps into a Prediction, after it was fitted on a stream of them.

    What `fit` finds goes into the buffers that `STATE` names, through `keep`, so that an ordinary checkpoint holds it;
    see FittedState, which also gives `is_fitted`, `reset` and `info`.

    Attributes:
        num_clusters: Number of labels, K.
        in_index: Which map of the backbone the head reads.
        seeds: Seeds of its S variants; empty if it has no seeds.
        can_reduce: Whether `reduce` is defined.
        align_corners: For mmseg's EncoderDecoder.
        debias: What takes position out of the map; heads without such an option have none.
    """

    num_clusters: int
    in_index: int = -1
    seeds: tuple[int, ...] = ()
    can_reduce: ClassVar[bool] = False
    align_corners: ClassVar[bool] = False
    debias: PositionDebias | None

    def debiased(self, maps: Sequence[Tensor]) -> Tensor:
        """The map that the head reads, (B, C, h, w) float32, without position where there is a `debias`."""
        features = maps[self.in_index].float()
        debias = getattr(self, 'debias', None)
        return features if debias is None else debias(features)

    def debias_settings(self) -> dict[str, Any]:
        """What `settings` must hold of the debias; {} without one."""
        debias = getattr(self, 'debias', None)
        return {} if debias is None else dict(debias=debias.settings())

    @abstractmethod
    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """Fit on a stream of batches that can be read several times.

        With several processes each reads its own part: see `gather_parts` and `broadcast_result`.

        Raises:
            ValueError: If the stream cannot be fitted on; it is raised on all processes.
        """

    @abstractmethod
    def predict(self, batch: FeatureBatch) -> Prediction:
        """Labels (S, B, h, w) or scores (S, B, K, h, w) of a batch.

        Raises:
            NotFittedError: If nothing was fitted or loaded.
        """

    def reduce(self, maps: Sequence[Tensor]) -> Tensor:
        """The features (B, D, h, w) that are clustered, for post-processors that request `reduced`.

        Raises:
            TypeError: If no subclass defines it and sets `can_reduce`.
        """
        raise TypeError(f'A post-processor needs reduced features, which {type(self).__name__} does not give: use '
                        "decode_head=dict(type='leopart_mm.OverclusterHead').")

    def image_scores(self, maps: Sequence[Tensor], batch_img_metas: list[dict]) -> Tensor:
        """`forward`'s scores (B, K, h, w) at the size of the padded images, as mmseg's EncoderDecoder expects them."""
        size = batch_img_metas[0].get('pad_shape', batch_img_metas[0]['img_shape'])[:2]
        return F.interpolate(self(maps), tuple(size), mode='bilinear', align_corners=False)

    def loss(self, *args: Any, **kwargs: Any) -> dict:
        """Refuse: a fitted head has no loss.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f'{type(self).__name__} has no loss: it is fitted without gradients, by FitTestLoop '
                                  'or fit(stream). To fine-tune the backbone, train a model such as '
                                  'leopart_mm.Leopart.')


class Postprocessor(BaseModule):
    """A stage after the head: a Prediction in, a Prediction out, fitted without gradients where it needs data.

    What `fit` finds must be buffers, so that a checkpoint keeps it; FittedState does that.

    Attributes:
        name: Key of the stage in a chain that is given as a list; None: the class's name in lower case.
        title: What its maps are called in pictures; None: its key in the chain.
        background: Label that is no object and not painted in pictures; None: there is none.
        level: 'grid': `forward` gets maps on the patch grid; 'pixel': it gets single images at the size of their
            pixels, after all stages on the grid, and `batch.inputs` (if requested) is the image at that size.
        pointwise: Whether the label of a cell follows from the label and the reduced features of this cell alone. Such
            a stage can also run on the features of pixels, see `smooth_prediction`.
        num_labels: Number of labels of its maps (ids 0..num_labels-1); None: that of the stage before.
    """

    name: ClassVar[str | None] = None
    title: str | None = None
    background: int | None = None
    level: ClassVar[str] = GRID
    pointwise: ClassVar[bool] = False
    num_labels: int | None = None

    def requests(self, fitting: bool = False, pictures: bool = False) -> Requests:
        """What the stage needs in a batch beside the maps.

        Args:
            fitting: `fit` is about to be called; else only `forward`.
            pictures: `pictures` will be called too.
        """
        return Requests()

    @property
    def is_fitted(self) -> bool:
        """Whether `forward` can run. Stages that fit nothing are always ready."""
        return True

    def reset(self) -> None:
        """Forget what was fitted; called on all stages before they are fitted (again)."""

    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """Fit on a stream that can be read several times; a stage that fits nothing leaves this out.

        The `prediction` of each batch is that of the stage before; `stream.num_labels` says how many labels it has.
        """

    @abstractmethod
    def forward(self, prediction: Prediction, batch: FeatureBatch) -> Prediction:
        """The prediction of the stage before to a new one; S, h and w may change, the images not."""

    def as_tensors(self) -> TensorStage | None:
        """The fitted stage as a function of tensors, for export; None where it is none."""
        return None

    def pictures(self, batch: FeatureBatch) -> dict[str, Tensor]:
        """Maps (B, h, w) of small ids to look at beside the stage's labels, by title."""
        return {}


BasePostprocessor = Postprocessor  # the name that stages of users may import


class FittedPostprocessor(FittedState, Postprocessor):
    """Base of the stages that fit something: buffers that load completely or not at all, see FittedState."""

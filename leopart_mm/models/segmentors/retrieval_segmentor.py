"""RetrievalSegmentor: images to classes of pixels, by a memory of labelled patches."""

from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.segmentors.unsupervised_segmentor import UnsupervisedSegmentor
from leopart_mm.registry import MODELS


@MODELS.register_module()
class RetrievalSegmentor(UnsupervisedSegmentor):
    """Dense nearest-neighbour retrieval with a frozen backbone (docs/methods/neco.md §8), fitted by FitTestLoop.

    `predict` writes into every data sample ``pred_sem_seg`` PixelData (1, H, W) int64, the most likely class of each
    pixel at the size ``ori_shape``: soft labels of the patches are resized bilinearly, padding left out, one image at a
    time; and the metainfo ``num_clusters``, the number of classes.

    The arguments are those of FittableSegmentor; `decode_head` is a RetrievalHead.
    """

    predicts_classes = True

    @property
    def runs_in_step(self) -> bool:
        """Whether the processes search their memories together."""
        return self.decode_head.sharded

    def gathered_state_dict(self) -> dict[str, Tensor] | None:
        """`state_dict` with the memory of all processes, on the main one; None elsewhere. A collective call."""
        gathered = self.decode_head.gathered_state()
        if gathered is None:
            return None
        state = self.state_dict()
        state.update({f'decode_head.{name}': value for name, value in gathered.items()})
        return state

    def write(self, sample: SegDataSample, prediction: Prediction, index: int, size: tuple[int, int]) -> None:
        """Classes of the pixels."""
        sample.set_metainfo(dict(num_clusters=prediction.num_labels))
        sample.pred_sem_seg = PixelData(data=prediction.to_pixels(index, size).hard_labels[0])

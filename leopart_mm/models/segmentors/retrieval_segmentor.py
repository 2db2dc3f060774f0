"""RetrievalSegmentor: backbone and patch memory; classes of pixels out."""

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from leopart_mm.geometry.patch_grid import upsample_scores
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.segmentors.unsupervised_segmentor import UnsupervisedSegmentor
from leopart_mm.registry import MODELS


@MODELS.register_module()
class RetrievalSegmentor(UnsupervisedSegmentor):
    """Dense nearest-neighbour retrieval with a frozen backbone (docs/methods/neco.md §8), fitted by FitTestLoop.

    `predict` writes into every data sample ``pred_sem_seg`` PixelData (1, H, W) int64, the most likely class of each
    pixel at the size ``ori_shape``: soft labels of the patches are resized bilinearly, padding left out, one image at a
    time.

    Args:
        backbone, neck, test_cfg, data_preprocessor, init_cfg: As in UnsupervisedSegmentor.
        decode_head: Config of a RetrievalHead.
    """

    predicts_classes = True

    def __init__(self,
                 backbone: dict | nn.Module,
                 decode_head: dict,
                 neck: dict | None = None,
                 train_cfg: dict | None = None,
                 test_cfg: dict | None = None,
                 data_preprocessor: dict | nn.Module | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(backbone, decode_head, neck, (), train_cfg, test_cfg, data_preprocessor, init_cfg)

    @property
    def runs_in_step(self) -> bool:
        """Whether all processes must predict the same number of batches, since they search together."""
        return self.decode_head.sharded

    def gathered_state_dict(self) -> dict[str, Tensor] | None:
        """`state_dict` with the memory of all processes, on the main one; None elsewhere. A collective call."""
        gathered = self.decode_head.gathered_state()
        if gathered is None:
            return None
        state = self.state_dict()
        state.update({f'decode_head.{name}': value for name, value in gathered.items()})
        return state

    @torch.no_grad()
    def predict_batch(self, batch: FeatureBatch) -> list[SegDataSample]:
        """Classes of the pixels of images whose features are known.

        Raises:
            NotFittedError: If nothing was fitted or loaded.
            NotImplementedError: If the images were flipped.
        """
        data_samples = batch.data_samples
        scores = self.decode_head(batch.features.maps)
        for index, sample in enumerate(data_samples):
            if sample.metainfo.get('flip'):
                raise NotImplementedError('RetrievalSegmentor cannot predict flipped images: remove RandomFlip (or '
                                          '--tta) from the test pipeline.')
            rows, columns, extent = batch.content(index, tuple(scores.shape[-2:]))
            size = tuple(sample.metainfo.get('ori_shape', batch.input_size)[:2])
            pixels = upsample_scores(scores[index, :, rows, columns], size, extent)
            sample.pred_sem_seg = PixelData(data=pixels.argmax(0, keepdim=True))
        return data_samples

"""UnsupervisedSegmentor: images to label maps, without a label and without logits of full size."""

from typing import Any

from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.segmentors.base import FittableSegmentor
from leopart_mm.registry import MODELS


@MODELS.register_module()
class UnsupervisedSegmentor(FittableSegmentor):
    """Groups dense features into label maps, without a label and without logits of full size.

    `predict` writes into every data sample:

    - ``pred_sem_seg`` PixelData (1, H, W) int64: the label map of the first seed at the size of the original image
      (metainfo ``ori_shape``), padding removed; labels of the patch grid are taken from the nearest cell, or, with
      segments='smooth', found from up-sampled features (`smooth_prediction`);
    - ``pred_clusters`` PixelData (S, h, w) int64: the label maps of all seeds on the patch grid, or at pixels where a
      stage works on pixels, or with segments='smooth'. Cells that hold at least one pixel of the image are kept, cells
      of padding are cut away;
    - metainfo ``cluster_extent``: the Extent of the image on that grid: what `upsample_labels` needs to bring the maps
      to any size exactly;
    - metainfo ``num_clusters``: ids are 0..num_clusters-1; and ``cluster_seeds``, one entry per seed;
    - with `pictures`: metainfo ``stages``, see `predict`.

    The arguments are those of FittableSegmentor; `decode_head` is a FittableHead such as OverclusterHead.
    """

    def write(self, sample: SegDataSample, prediction: Prediction, index: int, size: tuple[int, int]) -> None:
        """The fields that are described above."""
        image = prediction.select([index])
        rows, columns, extent = image.content(0)
        labels = image.hard_labels[:, 0, rows, columns]
        seeds = self.decode_head.seeds
        sample.set_metainfo(
            dict(cluster_extent=extent, num_clusters=prediction.num_labels,
                 cluster_seeds=seeds if len(seeds) == len(labels) else tuple(range(len(labels)))))
        sample.pred_sem_seg = PixelData(data=image.to_pixels(0, size, slice(1)).hard_labels[:, 0])
        sample.set_field(PixelData(data=labels), 'pred_clusters')

    def loss(self, inputs: Tensor, data_samples: Any) -> dict:
        """Refuse; a subclass that is trained defines its own.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f'{type(self).__name__} has no loss: it is fitted without gradients (tools/test.py '
                                  'with test_cfg=dict(type="leopart_mm.FitTestLoop")). To fine-tune its backbone, '
                                  'train a model such as leopart_mm.Leopart.')

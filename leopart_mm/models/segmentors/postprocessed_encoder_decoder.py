"""PostprocessedEncoderDecoder: mmseg's trained segmentor whose predictions go through stages at pixel level."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor

from leopart_mm.checkpoints.deeplab import deeplab_to_ours, is_deeplab
from leopart_mm.datasets.image_reading import read_image
from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.base import PIXEL
from leopart_mm.models.fitting.chain import StageChain
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.registry import MODELS


@MODELS.register_module()
class PostprocessedEncoderDecoder(EncoderDecoder):
    """mmseg's EncoderDecoder with post-processors at pixel level, such as a CRF, on what it predicts.

    The logits are brought to the size of the image (metainfo ``ori_shape``, bilinear), then through the stages in
    order; a stage that asks for the image gets it as it is in its file (docs/methods/maskdistill.md §9.1).
    ``seg_logits`` stay those of the network, ``pred_sem_seg`` is what the last stage says. Validation during training
    leaves the stages out.

    It loads the released networks of MaskDistill (§16) too, wherever a state dict of its own would load.

    Args:
        postprocessors: The stages: name -> config, see StageChain; none by default.
        stage_order: Names of the stages in the order in which they run; None: as in `postprocessors`.
        **kwargs: As in mmseg's EncoderDecoder.

    Raises:
        ValueError: If a stage works on a patch grid.
    """

    def __init__(self, postprocessors: Mapping[str, Any] | Sequence[Any] = (),
                 stage_order: Sequence[str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.postprocessors = StageChain(postprocessors, stage_order)
        on_grid = [name for name, stage in self.postprocessors.items() if stage.level != PIXEL or not stage.is_fitted]
        if on_grid:
            raise ValueError(f'{type(self).__name__}: the post-processor {on_grid[0]!r} works on a patch grid or is to '
                             'be fitted; a trained segmentor has stages at pixel level alone, such as '
                             "dict(type='leopart_mm.DenseCRF').")
        self.runs_stages = True

    def val_step(self, data: Any) -> list:
        """Predict without the stages: validation during training."""
        self.runs_stages = False
        try:
            return super().val_step(data)
        finally:
            self.runs_stages = True

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> list[SegDataSample]:
        """Predict images (B, C, H, W), see above."""
        samples = super().predict(inputs, data_samples)
        if self.postprocessors and self.runs_stages:
            for sample in samples:
                sample.pred_sem_seg = PixelData(data=self._refine(sample).hard_labels[0])
        return samples

    def _refine(self, sample: SegDataSample) -> Prediction:
        """The prediction of the last stage, at the size of the sample's logits."""
        scores = sample.seg_logits.data[None, None]
        size = tuple(scores.shape[-2:])
        extents = [Extent(0, size[0], 0, size[1])]
        image = None
        if self.postprocessors.requests().images:
            image = _image_of(sample, size).to(scores.device)
        path = str(sample.metainfo.get('img_path', ''))
        batch = FeatureBatch(DenseFeatures(maps=(), grid=size), [sample], [path], extents, inputs=image)
        prediction = Prediction(None, extents, self.decode_head.num_classes, scores)
        for name, stage in self.postprocessors.items():
            prediction = batch.predictions[name] = stage(prediction, batch)
        return prediction

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Put a released network under our names."""
        if not prefix and is_deeplab(state_dict):
            shapes = {key: tuple(value.shape) for key, value in self.state_dict().items()}
            state = deeplab_to_ours(state_dict, shapes)
            print_log(f'DeepLab of MaskDistill: {len(state)} tensors read.', logger='current')
            state_dict.clear()
            state_dict.update(state)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _image_of(sample: SegDataSample, size: tuple[int, int]) -> Tensor:
    """(1, 3, H, W) float, 0..255, of the file of a sample.

    Raises:
        ValueError: If there is no such file, or it has another size.
    """
    path = sample.metainfo.get('img_path')
    if not path:
        raise ValueError('A stage needs the image, but the sample names no file: images must come from files. '
                         'tools/label_images.py has a CRF of its own.')
    image = read_image(path, 'rgb', sample.metainfo.get('value_range'), sample.metainfo.get('nodata'))
    if image.shape[:2] != size:
        raise ValueError(f'The prediction of {path} has {size[0]} x {size[1]} pixels, the image {image.shape[0]} x '
                         f'{image.shape[1]} (height x width): a CRF works at the size of the image, so take '
                         'KeepNetworkSize out of the test pipeline.')
    return torch.from_numpy(image).permute(2, 0, 1)[None].float()

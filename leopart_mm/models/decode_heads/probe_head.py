"""ProbeHead: the cluster probe or linear probe that STEGO and HP keep beside their network, as it is in the file."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from leopart_mm.checkpoints.key_layouts import CLASS_PROTOTYPES, LINEAR_PROBE
from leopart_mm.checkpoints.networks import read_heads
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.checkpoints.sources import describe_source, read_checkpoint
from leopart_mm.models.fitting.base import FittableHead
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.registry import MODELS

CLUSTER, LINEAR = PROBES = ('cluster', 'linear')


@MODELS.register_module()
class ProbeHead(FittableHead):
    """Labels maps by a probe of STEGO or HP: the authors' own evaluation (docs/methods/primaps.md §13, §14).

    `fit` reads the probe from the file; images are not needed for it.

    - 'cluster': scores are the log-softmax of ``alpha`` times the cosine of code and cluster, which is also what their
      CRF starts from; clusters get their classes from a metric that matches.
    - 'linear': scores are ``weight @ code + bias``; labels are classes.

    Args:
        num_clusters: Number of labels K, extra clusters of STEGO included.
        checkpoint: File of the STEGO or HP run, or a loaded one.
        probe: 'cluster' or 'linear'.
        alpha: Factor of the cosines.
        in_index: Which map of the neck is read.

    Attributes:
        num_classes, out_channels: K, for mmseg's EncoderDecoder.
        weight, bias: (K, D) and (K,), the rows of a cluster probe of length 1 and its bias 0.

    Raises:
        ValueError: If `probe` is unknown.
    """

    STATE = ('weight', 'bias')

    def __init__(self,
                 num_clusters: int,
                 checkpoint: str | os.PathLike | Mapping | None = None,
                 probe: str = CLUSTER,
                 alpha: float = 2.,
                 in_index: int = -1,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if probe not in PROBES:
            raise ValueError(f'probe={probe!r} is unknown. Allowed: {", ".join(map(repr, PROBES))}.')
        self.num_clusters = self.num_classes = self.out_channels = num_clusters
        self.checkpoint, self.probe, self.alpha, self.in_index = checkpoint, probe, alpha, in_index

    def settings(self) -> dict[str, Any]:
        """K, which probe, and the factor of its cosines."""
        return dict(num_clusters=self.num_clusters, probe=self.probe, alpha=self.alpha)

    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """Take the probe from `checkpoint`; the stream is not read.

        Raises:
            BackboneCheckpointError: If the file holds no such probe, or one of another number of labels.
        """
        if self.checkpoint is None:
            raise BackboneCheckpointError('A ProbeHead needs checkpoint=FILE of a STEGO or HP run in decode_head.')
        weight, bias = read_probe(read_checkpoint(self.checkpoint), self.probe, describe_source(self.checkpoint))
        if len(weight) != self.num_clusters:
            raise BackboneCheckpointError(f'The {self.probe} probe of {describe_source(self.checkpoint)} has '
                                          f'{len(weight)} labels: set num_clusters={len(weight)} in decode_head.')
        self.keep(dict(weight=weight, bias=bias), dict(channels=weight.shape[1]))

    @torch.no_grad()
    def predict(self, batch: FeatureBatch | Sequence[Tensor], batch_img_metas: list[dict] | None = None,
                test_cfg: dict | None = None) -> Prediction | Tensor:
        """Scores (1, B, K, h, w) on the grid of the map.

        mmseg's EncoderDecoder calls this with maps and metainfo instead: it gets scores at the size of the image.

        Raises:
            NotFittedError: If nothing was fitted or loaded.
            ValueError: If the map has another number of channels than the probe.
        """
        if batch_img_metas is not None:
            return self.image_scores(batch, batch_img_metas)
        scores = self(batch.features.maps)[None]
        return Prediction(None, batch.extents_on(tuple(scores.shape[-2:])), self.num_clusters, scores)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps to scores (B, K, h, w), float32."""
        self.require_fitted()
        codes = maps[self.in_index]
        if codes.shape[1] != self.weight.shape[1]:
            raise ValueError(f'The {self.probe} probe reads {self.weight.shape[1]} channels, but the map has '
                             f'{codes.shape[1]}: set neck=dict(type="leopart_mm.CodeHead") with the checkpoint of the '
                             'same run.')
        with torch.autocast(codes.device.type, enabled=False):
            codes = F.normalize(codes.float(), dim=1) if self.probe == CLUSTER else codes.float()
            scores = F.conv2d(codes, self.weight[..., None, None], self.bias)
            return (self.alpha * scores).log_softmax(1) if self.probe == CLUSTER else scores


def read_probe(checkpoint: Any, probe: str, name: str) -> tuple[Tensor, Tensor]:
    """Weight (K, D) and bias (K,) of a probe of a loaded checkpoint; the rows of a cluster probe have length 1.

    Args:
        checkpoint: Of STEGO or HP.
        probe: 'cluster' or 'linear'.
        name: What error messages call the checkpoint.

    Raises:
        BackboneCheckpointError: If it holds no such probe, or prototypes with gains that PriMaPs trained.
    """
    heads = read_heads(checkpoint)
    wanted = (f'{LINEAR_PROBE}weight', f'{LINEAR_PROBE}bias') if probe == LINEAR else (
        f'{CLASS_PROTOTYPES}v', f'{CLASS_PROTOTYPES}g')
    if any(key not in heads for key in wanted):
        raise BackboneCheckpointError(f'{name} holds no {probe} probe (STEGO: cluster_probe.clusters, linear_probe.*; '
                                      'HP: cluster_model_state_dict, linear_model_state_dict): name the checkpoint of '
                                      'a STEGO or HP run.')
    weight, second = (heads[key].float() for key in wanted)
    if probe == LINEAR:
        return weight.flatten(1), second
    if second.ne(1).any():
        raise BackboneCheckpointError(f'{name} holds prototypes with gains, which a cosine leaves out: evaluate them '
                                      'with the config of PriMaPs that they were trained with.')
    return F.normalize(weight.flatten(1), dim=1), weight.new_zeros(len(weight))

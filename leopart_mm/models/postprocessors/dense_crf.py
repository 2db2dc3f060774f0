"""DenseCRF: sharpens the scores of a segmentor to the edges of the image."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from leopart_mm.masks.crf import CRFSettings, dense_crf, truncate_bytes
from leopart_mm.models.fitting.base import PIXEL, Postprocessor
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.registry import MODELS

KINDS = ('logits', 'probabilities')


@MODELS.register_module()
class DenseCRF(Postprocessor):
    """Sharpens scores to the edges of the image by a fully connected CRF, at the size of its pixels.

    All variants of an image go through the CRF together, and share its kernels. Source: docs/methods/primaps.md §5 and
    §10; the settings of the systems in scope are in the table of CRFSettings.

    Args:
        variants: Which of the S variants are sharpened, as numbers from 0; the scores of the others stay what they
            are. None: all.
        scores: What the scores of the stage before are: 'logits' (softmax makes probabilities of them) or
            'probabilities', such as the marginals of a CRF before.
        scale: Logits are multiplied by it; STEGO's own cluster probe uses 2 on cosines.
        label_confidence: For a stage before that gives labels only: the probability of the given label, in (0, 1]; the
            other labels share the rest. None: labels only are refused.
        settings: The values of CRFSettings by name: `iterations`, `smooth_weight`, `bytes`, `backend`, ...
            With bytes='truncate' the image becomes what the published round trip of bytes makes of it.

    Raises:
        ValueError: If a setting is unknown or out of range.
    """

    level = PIXEL
    name = 'crf'
    title = 'dense CRF'

    def __init__(self, variants: Sequence[int] | None = None, scores: str = 'logits', scale: float = 1.,
                 label_confidence: float | None = None, init_cfg: dict | list | None = None, **settings: Any) -> None:
        super().__init__(init_cfg)
        known = [field.name for field in fields(CRFSettings)]
        unknown = sorted(settings.keys() - set(known))
        if unknown:
            raise ValueError(f'DenseCRF: {", ".join(unknown)} is no setting; known are: variants, scores, scale, '
                             f'label_confidence, {", ".join(known)}.')
        if scores not in KINDS:
            raise ValueError(f'DenseCRF: scores={scores!r} is unknown; known are: {", ".join(KINDS)}.')
        if not scale > 0:
            raise ValueError(f'DenseCRF: scale={scale} must be positive.')
        if label_confidence is not None and not 0 < label_confidence <= 1:
            raise ValueError(f'DenseCRF: label_confidence={label_confidence} is a probability, it must lie in (0, 1].')
        if variants is not None and (not variants or min(variants) < 0 or len(set(variants)) < len(variants)):
            raise ValueError(f'DenseCRF: variants={variants} must be different numbers from 0; None takes all.')
        self.settings = CRFSettings(**settings)
        self.variants = None if variants is None else list(variants)
        self.scores, self.scale, self.label_confidence = scores, scale, label_confidence

    def requests(self, fitting: bool = False, pictures: bool = False) -> Requests:
        """The image, to predict; nothing to be fitted."""
        return Requests(images=True)

    @torch.no_grad()
    def forward(self, prediction: Prediction, batch: FeatureBatch) -> Prediction:
        """Scores (S, 1, K, H, W) to marginals of the same shape.

        Raises:
            ValueError: If the image is missing or of another size, there are labels only, or a variant does not exist.
        """
        image = self._image(batch, prediction.grid)
        log_probs = self._log_probs(prediction)
        chosen = list(range(len(log_probs))) if self.variants is None else self.variants
        if max(chosen) >= len(log_probs):
            raise ValueError(f'DenseCRF: variants={self.variants}, but the stage before gives {len(log_probs)} '
                             f'variants: their numbers are 0..{len(log_probs) - 1}.')
        marginals = dense_crf(log_probs[chosen, 0], image, self.settings)[:, None]
        if len(chosen) < len(log_probs):
            others = log_probs if prediction.scores is None else prediction.scores.float()
            marginals = others.index_copy(0, torch.tensor(chosen, device=others.device), marginals)
        return replace(prediction, labels=None, scores=marginals)

    def _image(self, batch: FeatureBatch, size: tuple[int, int]) -> Tensor:
        """(H, W, 3) uint8."""
        if batch.inputs is None or tuple(batch.inputs.shape[-3:]) != (3, *size):
            found = 'none' if batch.inputs is None else f'{tuple(batch.inputs.shape)}'
            raise ValueError(f'DenseCRF needs the image (1, 3, {size[0]}, {size[1]}) of the maps, the batch has '
                             f'{found}: run it in the chain of a segmentor, and with images of three channels.')
        image = batch.inputs[0].round().clamp(0, 255).to(torch.uint8).movedim(0, -1).contiguous()
        return truncate_bytes(image) if self.settings.bytes == 'truncate' else image

    def _log_probs(self, prediction: Prediction) -> Tensor:
        """(S, 1, K, H, W) float32."""
        if prediction.scores is not None:
            scores = prediction.scores.float()
            return scores.clamp_min(0).log() if self.scores == 'probabilities' else scores * self.scale
        if self.label_confidence is None:
            raise ValueError('DenseCRF needs scores, but the stage before gives labels only: set label_confidence '
                             '(such as 0.7) to say how sure a label is, or take a head that gives scores.')
        others = (1 - self.label_confidence) / max(prediction.num_labels - 1, 1)
        if self.label_confidence <= others:
            raise ValueError(f'DenseCRF: label_confidence={self.label_confidence} is no more than chance among '
                             f'{prediction.num_labels} labels: give it a larger one.')
        one_hot = F.one_hot(prediction.labels, prediction.num_labels).movedim(-1, 2).float()
        return (others + (self.label_confidence - others) * one_hot).log()

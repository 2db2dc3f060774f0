"""Principal mask proposals as a source: from features of a batch to maps of mask numbers."""

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from leopart_mm.geometry.patch_grid import Extent, content_groups, image_index, upsample_scores
from leopart_mm.masks.crf import CRFSettings, dense_crf, truncate_bytes
from leopart_mm.masks.principal import PrincipalMasks, PrincipalSettings, principal_masks
from leopart_mm.masks.principal_cleaning import mask_log_probs, proposal_labels
from leopart_mm.masks.proposal_formats import LabelMapFiles, LabelProposals
from leopart_mm.masks.proposals import ProposalFormat, ProposalImage, ProposalSource
from leopart_mm.masks.sources import MaskInputs

DEFAULT_CRF: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class PrincipalDraft:
    """Masks of an image on its cells.

    Args:
        log_probs: (M + 1, h, w) of `mask_log_probs`, on the CPU.
        extent: Where the image lies on these cells.
    """

    log_probs: Tensor
    extent: Extent


class PrincipalProposals(ProposalSource):
    """Masks along the principal directions of an image's features, sharpened by a dense CRF.

    PriMaPs: Leveraging principal mask proposals for unsupervised semantic segmentation
    (https://arxiv.org/abs/2404.16818). Source: docs/methods/primaps.md §4-6.

    Args:
        threshold: See `PrincipalSettings`; 0.4 as published (0.35 in the published demo).
        crf: Arguments of `CRFSettings`, such as dict(backend='pydensecrf'); None: the borders of cells stay.
        options: The other arguments of `PrincipalSettings`: `max_free`, `max_masks`, `orientation`, ... A number above
            254 (max_masks=None) wraps in files, as published.
    """

    format: ClassVar[ProposalFormat] = LabelMapFiles()

    def __init__(self, threshold: float = 0.4, crf: Mapping[str, Any] | None = DEFAULT_CRF, **options: Any) -> None:
        self.masks = PrincipalSettings(threshold, **options)
        self.crf = None if crf is None else CRFSettings(**crf)

    @property
    def requests(self) -> dict[str, Any]:
        """Feature maps."""
        return dict(maps=True)

    def settings(self) -> dict[str, Any]:
        """Settings of masks and CRF."""
        return asdict(self.masks) | dict(crf=None if self.crf is None else asdict(self.crf))

    def propose(self, inputs: MaskInputs) -> list[PrincipalDraft]:
        """Log-probabilities of the masks of each image, from its own cells alone.

        Raises:
            ValueError: If there are no features, or they are NaN or infinite; the message names the image.
        """
        features = self.features_of(inputs)
        if features is None:
            raise ValueError('PrincipalProposals needs features, but the batch holds none: extract it with what '
                             '`requests` names.')
        drafts: dict[int, PrincipalDraft] = {}
        for members, (rows, columns, extent) in content_groups(inputs.extents, inputs.grid):
            found = principal_masks(features[image_index(members, features.device), :, rows, columns], self.masks,
                                    names=[inputs.names[index] for index in members])
            soft = torch.cat([masks.soft_masks for masks in found]).cpu().split([len(masks) for masks in found])
            for index, masks, on_cpu in zip(members, found, soft, strict=True):
                drafts[index] = self.draft(replace(masks, soft_masks=on_cpu), extent)
        return [drafts[index] for index in range(len(inputs))]

    def features_of(self, inputs: MaskInputs) -> Tensor | None:
        """(B, C, h, w): the features that the masks are made of."""
        return inputs.features

    def draft(self, masks: PrincipalMasks, extent: Extent) -> PrincipalDraft:
        """The draft of an image from its masks, for a caller that looks at them too."""
        return PrincipalDraft(mask_log_probs(masks.soft_masks, self.masks).cpu(), extent)

    def refine(self, draft: PrincipalDraft, image: ProposalImage) -> LabelProposals:
        """The map of mask numbers at the image's pixels.

        Raises:
            ValueError: If bytes are to be truncated, but the image was not normalised.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(image.pixels))
        scores = upsample_scores(draft.log_probs, image.size, draft.extent)
        crf = None
        if self.crf is not None:
            crf = functools.partial(dense_crf, settings=self.crf)
            if self.crf.bytes == 'truncate':
                if image.mean is None or image.std is None:
                    raise ValueError(f"{image.name}: PrincipalProposals(crf=dict(bytes='truncate')) repeats what "
                                     'normalising does to bytes, but the data preprocessor does not normalise.')
                pixels = truncate_bytes(pixels, image.mean, image.std)
        labels = proposal_labels(scores, pixels, crf)
        return LabelProposals(labels.numpy().astype(np.uint8))  # numbers above 255 wrap

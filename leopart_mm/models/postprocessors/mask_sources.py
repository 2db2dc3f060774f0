"""The mask sources of configs: those of `leopart_mm.masks`, the attention of another backbone, debiased features."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from leopart_mm.masks import principal_source, sources
from leopart_mm.masks.border import BorderContrastMasks
from leopart_mm.masks.object_source import ObjectSeedProposals
from leopart_mm.masks.sources import MaskFiles, MaskInputs, MaskSource
from leopart_mm.models.fitting.debias import build_debias
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.networks import Network
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.registry import TASK_UTILS

TASK_UTILS.register_module(module=BorderContrastMasks)
TASK_UTILS.register_module(module=MaskFiles)
TASK_UTILS.register_module(module=ObjectSeedProposals)


@TASK_UTILS.register_module()
class AttentionMasks(sources.AttentionMasks):
    """The cells that hold most of the class token's attention, of the model's own backbone or of another one.

    Args:
        backbone: Config of another backbone whose attention is read, with its `checkpoint` (the published masks are
            DINO's, whatever is evaluated), see `Network`. None: the model's own attention, which costs no further
            forward pass.
        options: Arguments of `leopart_mm.masks.sources.AttentionMasks`: `mass`, `sigma`, `kernel`, `min_component`,
            `save_dir`.
    """

    def __init__(self, mass: float = 0.65, backbone: dict | None = None, **options: Any) -> None:
        super().__init__(mass, **options)
        self.network = None if backbone is None else Network(backbone)

    @property
    def requests(self) -> dict[str, Any]:
        """Attention, of the model or of the other backbone."""
        return dict(attention=True) if self.network is None else dict(
            networks=((self.network, Requests(attention=True)), ))

    def attention_of(self, inputs: MaskInputs) -> Tensor | None:
        """That of the model, or of the other backbone.

        Raises:
            ValueError: If the batch lacks the features of the other backbone, or that has another grid than the model.
        """
        if self.network is None:
            return inputs.attention
        if self.network not in inputs.others:
            raise ValueError('The batch holds no features of the other backbone whose attention AttentionMasks reads: '
                             'extract it with what `requests` names.')
        features = inputs.others[self.network]
        if features.grid != inputs.grid:
            raise ValueError(f'The backbone of the masks has a grid of {features.grid} patches, the model one of '
                             f'{inputs.grid}: extents of padded images differ. Take a backbone of the same patch size, '
                             'or write its masks with save_dir and read them with MaskFiles.')
        return features.cls_attention

    def release(self) -> None:
        """Drop the other backbone from memory."""
        if self.network is not None:
            self.network.release()


@TASK_UTILS.register_module()
class PrincipalProposals(principal_source.PrincipalProposals):
    """Masks along the principal directions of an image's features, which may be freed of position before.

    Args:
        threshold: See `leopart_mm.masks.PrincipalProposals`.
        crf: See there.
        debias: Config of a PositionDebias that is not fitted on images: dict(type='leopart_mm.BlackImageDebias',
            rank=16). None: the features as they are.
        options: The other arguments of `leopart_mm.masks.PrincipalProposals`.

    Raises:
        ValueError: If the debias is fitted on images.
    """

    def __init__(self, threshold: float = 0.4, crf: Mapping[str, Any] | None = principal_source.DEFAULT_CRF,
                 debias: dict | None = None, **options: Any) -> None:
        super().__init__(threshold, crf, **options)
        self.debias = build_debias(debias)
        if self.debias is not None:
            if self.debias.reads_features:
                raise ValueError(f'PrincipalProposals: {type(self.debias).__name__} is fitted on the features of many '
                                 "images, but a source of proposals sees one at a time: use 'BlackImageDebias'.")
            self.debias.fit((), -1)

    def settings(self) -> dict[str, Any]:
        """Settings of masks and CRF, and of the debias if there is one."""
        return super().settings() | ({} if self.debias is None else dict(debias=self.debias.settings()))

    def features_of(self, inputs: MaskInputs) -> Tensor | None:
        """(B, C, h, w): the features that the masks are made of, without position where there is a debias."""
        if self.debias is None or inputs.features is None:
            return inputs.features
        self.debias.black_map = inputs.black_map
        try:
            return self.debias(inputs.features)
        finally:
            self.debias.black_map = None  # the network does not travel to worker processes


def build_mask_source(config: dict | MaskSource) -> MaskSource:
    """A mask source from its config, or one that is built already."""
    return TASK_UTILS.build(config) if isinstance(config, dict) else config


def mask_inputs(batch: FeatureBatch) -> MaskInputs:
    """What a mask source may look at of a batch."""
    features = batch.features
    return MaskInputs(batch.names, features.grid, batch.extents, features.maps[-1].device if features.maps else 'cpu',
                      features.maps[-1] if features.maps else None, features.cls_attention, features.q, features.k,
                      features.v, batch.inputs, batch.others, features.class_q, features.token_k)

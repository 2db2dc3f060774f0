"""The frozen network that proposals are made with: backbone, neck and normalisation of a config, nothing else of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import DefaultScope
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from leopart_mm.masks import MaskInputs, ProposalImage
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.black_image import black_image
from leopart_mm.models.fitting.networks import colour_settings, extents_on_grid, network_settings
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.registry import MODELS


class ProposalNetwork(nn.Module):
    """A frozen backbone, and neck if there is one, that says what it computes.

    Args:
        backbone: Config of a backbone.
        neck: Config of a neck, or None.
        data_preprocessor: Config of the data preprocessor, which normalises.
    """

    def __init__(self, backbone: Mapping[str, Any], neck: Mapping[str, Any] | None = None,
                 data_preprocessor: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.backbone = MODELS.build(dict(backbone))
        self.neck = None if neck is None else MODELS.build(dict(neck))
        self.data_preprocessor = MODELS.build(dict(data_preprocessor or dict(type='mmseg.SegDataPreProcessor')))
        if not isinstance(self.data_preprocessor, BaseDataPreprocessor):
            raise TypeError(f'model.data_preprocessor is a {type(self.data_preprocessor).__name__}; proposals need one '
                            'that takes packed images, such as SegDataPreProcessor.')
        for part in (self.backbone, self.neck):
            _load_weights(part)
        self.eval().requires_grad_(False)

    @classmethod
    def from_config(cls, config: Config, checkpoint: str | None = None) -> 'ProposalNetwork':
        """From `model.backbone` and `model.data_preprocessor` of a config, and `model.neck` if it says so.

        Proposals are made of the backbone's features, also where a neck makes codes of them for training, so that one
        set serves all trainings with a backbone (docs/methods/primaps.md §6). `proposal_features = 'neck'` in the
        config makes them of what the neck gives.

        Args:
            config: The config; what else `model` holds is not built.
            checkpoint: Weights of the backbone; None: those that its config names.

        Raises:
            KeyError: If the config has no backbone, or no neck where it asks for one.
            ValueError: If `proposal_features` is unknown.
        """
        model = config.get('model') or {}
        if not model.get('backbone'):
            raise KeyError(f'{config.filename} has no model.backbone, whose features proposals are made of.')
        features = config.get('proposal_features', 'backbone')
        if features not in ('backbone', 'neck'):
            raise ValueError(f"proposal_features={features!r} must be 'backbone' or 'neck'.")
        if features == 'neck' and not model.get('neck'):
            raise KeyError(f"{config.filename} has proposal_features='neck', but no model.neck.")
        backbone = dict(model['backbone'])
        if checkpoint is not None:
            backbone['checkpoint'] = checkpoint
        with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmseg')):
            return cls(backbone, model['neck'] if features == 'neck' else None,
                       model.get('data_preprocessor') or config.get('data_preprocessor'))

    def settings(self) -> dict[str, Any]:
        """What the network computes: its settings, and a fingerprint of its weights."""
        parts = dict(backbone=network_settings(self.backbone), normalise=colour_settings(self.data_preprocessor))
        return parts if self.neck is None else parts | dict(neck=network_settings(self.neck))

    def image(self, name: str, inputs: Tensor, original_size: tuple[int, int]) -> ProposalImage:
        """An image for the steps of a source that need pixels, from what the pipeline packed (C, H, W)."""
        mean, std, turns = colour_settings(self.data_preprocessor).values()
        bands = inputs[:3] if len(inputs) >= 3 else inputs[:1].expand(3, -1, -1)
        bands = bands.round().clamp(0, 255) if bands.is_floating_point() else bands
        pixels = bands.byte().permute(1, 2, 0).numpy()
        pixels = np.ascontiguousarray(pixels[..., ::-1] if turns else pixels)
        return ProposalImage(name, pixels, original_size, mean and tuple(mean), std and tuple(std))

    @torch.no_grad()
    def forward(self, names: Sequence[str], inputs: Sequence[Tensor], requests: Requests) -> MaskInputs:
        """Features of images of one size.

        Args:
            names: B names.
            inputs: B images (C, H, W) as they were packed.
            requests: What is needed; blocks behind that are not run.

        Raises:
            TypeError: If the backbone cannot give what is requested.
        """
        device = next((parameter.device for parameter in self.parameters()), torch.device('cpu'))
        samples = [SegDataSample() for _ in inputs]
        images = self.data_preprocessor(dict(inputs=[image.to(device) for image in inputs],
                                             data_samples=samples))['inputs']
        features = self._features(images, requests)
        extents = extents_on_grid(self.backbone, tuple(images.shape[-2:]), features.grid,
                                  [sample.metainfo for sample in samples])
        return MaskInputs(list(names), features.grid, extents, device, features.maps[-1] if features.maps else None,
                          features.cls_attention, features.q, features.k, features.v,
                          images if requests.images else None,
                          {network: network(images, asked) for network, asked in requests.networks},
                          features.class_q, features.token_k, self.black_map)

    @torch.no_grad()
    def black_map(self, grid: tuple[int, int]) -> Tensor:
        """The map (C, h, w) of a black image of h x w patches."""
        image = black_image(self.data_preprocessor, self.backbone.patch_size, grid)
        return self._features(image, Requests(maps=True)).maps[-1][0]

    def _features(self, images: Tensor, requests: Requests) -> DenseFeatures:
        if hasattr(self.backbone, 'forward_dense'):
            features = self.backbone.forward_dense(images, None if requests.maps else (), **requests.of_attention)
        elif requests.of_attention:
            raise TypeError('The source of proposals needs attention, queries, keys or values, which '
                            f"{type(self.backbone).__name__} does not give: use "
                            "backbone=dict(type='leopart_mm.DenseViT').")
        else:
            maps = tuple(self.backbone(images))
            features = DenseFeatures(maps, tuple(maps[-1].shape[-2:]))
        if self.neck is not None and features.maps:
            features.maps = tuple(self.neck(features.maps))
        return features


def _load_weights(module: nn.Module | None) -> None:
    """Let a module load the weights that its config names, without MMEngine's lines about every parameter."""
    if hasattr(module, 'init_weights'):
        module._dump_init_info = lambda: None
        try:
            module.init_weights()
        finally:
            del module._dump_init_info

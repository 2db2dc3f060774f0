"""A backbone by itself: from a hub, a file of weights, or a checkpoint of ours that says what it is."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from leopart_mm.apis.checkpoint_config import config_of, has_config
from leopart_mm.checkpoints.safe_reading import load_checkpoint_file
from leopart_mm.checkpoints.sources import is_remote
from leopart_mm.models.backbones import DenseViT
from leopart_mm.models.backbones.facts import folder_arch
from leopart_mm.models.backbones.low_rank import merge_adapters
from leopart_mm.registry import MODELS

IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@dataclass
class BackboneSource:
    """A frozen backbone and the colours that it was trained with.

    Args:
        network: The backbone, in evaluation mode.
        mean: RGB mean, 0..255.
        std: RGB standard deviation, 0..255.
        guessed: Whether they are ImageNet's for want of better.
    """

    network: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    guessed: bool = False

    @classmethod
    def read(cls, source: str, arch: str | None = None) -> 'BackboneSource':
        """Build the network and read its weights.

        Args:
            source: 'timm://NAME.TAG', 'hf-hub:OWNER/NAME', a URL, a file of weights, a folder of transformers, or a
                checkpoint of ours.
            arch: timm's name of the architecture; None: the one that `source` names, or that the config in the
                checkpoint does.

        Raises:
            BackboneCheckpointError: If the weights are not of this network.
            FileNotFoundError: If there is no such file.
            ValueError: If the architecture is unknown.
        """
        loaded = None if is_remote(source) else load_checkpoint_file(source)
        config, colours = _config(loaded, source) if arch is None and has_config(loaded) else (None, None)
        of_folder = None if is_remote(source) else folder_arch(source)
        arch = arch or of_folder
        if config is None and arch is None and loaded is not None:
            raise ValueError(f'The architecture of {source} is unknown: name it (--arch vit_small_patch16_224, timm\'s '
                             'name).')
        if config is None:
            network = DenseViT(arch, checkpoint=source)
        else:
            with DefaultScope.overwrite_default_scope('mmseg'):
                network = MODELS.build(dict(config, checkpoint=source))
        network.load_pretrained(source if loaded is None or of_folder is not None else loaded, name=str(source))
        network._awaits_weights = False
        colours = colours or ((network.mean, network.std) if getattr(network, 'mean', None) is not None else None)
        network = merge_adapters(network)
        return cls(network.eval().requires_grad_(False), *(colours or IMAGENET), guessed=colours is None)

    def normalise(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB, 0..255, to what the network takes."""
        mean, std = (torch.tensor(colour, dtype=torch.float32, device=image.device)[:, None, None]
                     for colour in (self.mean, self.std))
        return (image.float() - mean) / std


def _config(checkpoint: Mapping, source: str) -> tuple[dict | None, tuple | None]:
    """The backbone's config in a checkpoint and the colours of its preprocessor, where it has them."""
    model = config_of(checkpoint, f'The checkpoint {source}').get('model') or {}
    backbone = model.get('backbone')
    preprocessor = model.get('data_preprocessor') or {}
    colours = tuple(tuple(map(float, preprocessor.get(key) or ())) for key in ('mean', 'std'))
    return (None if backbone is None else dict(backbone)), colours if all(colours) else None

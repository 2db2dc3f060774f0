"""CodeHead: the frozen head with which STEGO and HP turn features of a ViT into codes."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from leopart_mm.checkpoints.code_heads import (
    IDENTITY,
    KEYS,
    LINEAR,
    NONLINEAR,
    TOKENS,
    CodeSettings,
    code_state,
    hp_settings,
    layers_of,
    stego_settings,
)
from leopart_mm.checkpoints.key_layouts import State
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.checkpoints.sources import describe_source, read_checkpoint
from leopart_mm.files import shorten
from leopart_mm.registry import MODELS

PROJECTIONS = (None, NONLINEAR, LINEAR, IDENTITY)


class CodeLayers(nn.Module):
    """``cluster1(x) + cluster2(x)``: 1x1 convolutions, `cluster2` with a hidden layer and ReLU (primaps.md §13).

    Args:
        in_channels: Width of the features.
        out_channels: Width of the code.
        nonlinear: Whether there is a `cluster2`.
    """

    def __init__(self, in_channels: int, out_channels: int, nonlinear: bool = True) -> None:
        super().__init__()
        self.cluster1 = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1))
        if nonlinear:
            self.cluster2 = nn.Sequential(nn.Conv2d(in_channels, in_channels, 1), nn.ReLU(),
                                          nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, features: Tensor, scales: Tensor | None = None) -> Tensor:
        """Features (B, C, h, w) to codes (B, D, h, w).

        Args:
            features: (B, C, h, w).
            scales: (B, 2, C), factors of the channels before `cluster1` and before `cluster2`; None: 1.
        """
        first, second = (features, features) if scales is None else (
            features * scales[:, index, :, None, None] for index in range(2))
        code = self.cluster1(first)
        return code + self.cluster2(second) if hasattr(self, 'cluster2') else code


@MODELS.register_module()
class CodeHead(BaseModule):
    """The head of STEGO or HP as a frozen neck: features of a ViT in, codes out (docs/methods/primaps.md §13, §14).

    All sizes come from the weights: those of `checkpoint`, which `init_weights` reads, or those of a checkpoint of the
    whole model. The head gets no gradient and stays in evaluation mode. It runs in float32.

    Args:
        checkpoint: File of a STEGO run (Lightning's) or an HP run (`ckpt.pth`), or a loaded one; the same file gives
            the backbone (DenseViT's `checkpoint`) its weights. None: random weights of the sizes below.
        ema: Use HP's moving average of the head; published: False, which is the trained head.
        dropout: Probability with which a channel is set to 0, independently before `cluster1` and `cluster2`, the rest
            scaled by 1 / (1 - dropout). Published for STEGO, by accident: 0.1, also in evaluation, so codes are noisy;
            HP: 0. Factors are drawn for one image after the other from torch's generator of the CPU, so they do not
            depend on the size of batches, but on the order of images.
        projection: None: 'nonlinear' or 'linear' (no `cluster2`), as the weights are; either of them by name: weights
            of the other kind are refused. 'identity': code = features, as of a STEGO run with projection_type null.
        in_channels: Width C of the features; None: the weights'. Another than the weights' is refused.
        out_channels: Width D of the code; None: the weights'.
        options: JSON file of the options of an HP run: what it says of the head is checked.
        init_cfg: MMEngine's initialisation config; unused.

    Attributes:
        in_channels: C; None as long as it is not known.
        out_channels: D; None as long as it is not known: with neither `out_channels` nor a readable `checkpoint`.

    Raises:
        ValueError: If `projection` is unknown, `dropout` out of [0, 1), or there is neither `checkpoint` nor sizes.
        BackboneCheckpointError: If the checkpoint holds no such head.
    """

    # What tells of the weights, beside them: see network_fingerprint.
    origin: ClassVar[tuple[str, ...]] = ('checkpoint', 'options', '_settings', '_awaits_weights')

    def __init__(self,
                 checkpoint: str | os.PathLike | Mapping | None = None,
                 ema: bool = False,
                 dropout: float = 0.,
                 projection: str | None = None,
                 in_channels: int | None = None,
                 out_channels: int | None = None,
                 options: str | os.PathLike | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if projection not in PROJECTIONS:
            raise ValueError(f'projection={projection!r} is unknown. Allowed: {", ".join(map(repr, PROJECTIONS))}.')
        if not 0 <= dropout < 1:
            raise ValueError(f'dropout={dropout} must be in [0, 1).')
        self.checkpoint, self.moving_average, self.dropout, self.projection = checkpoint, ema, dropout, projection
        self.options = options
        self.in_channels, self.out_channels = in_channels, out_channels
        self._settings = CodeSettings()
        self.register_buffer('place', torch.zeros(0), persistent=False)  # the device, also before there are layers
        self._awaits_weights = checkpoint is not None and projection != IDENTITY
        if projection == IDENTITY:
            self.in_channels = self.out_channels = out_channels or in_channels
        elif checkpoint is not None and (not isinstance(checkpoint, (str, os.PathLike)) or os.path.exists(checkpoint)):
            # Not only in `init_weights`: what follows in the model has to know the width of the codes.
            name = describe_source(checkpoint)
            self._fit(code_state(read_checkpoint(checkpoint), ema, name), name)
        elif None not in (in_channels, out_channels):
            self._build(in_channels, out_channels, projection != LINEAR)
        elif checkpoint is None:
            raise ValueError('A CodeHead needs checkpoint=FILE of a STEGO or HP run, or in_channels and out_channels.')

    @property
    def part(self) -> str:
        """Name of the layers: 'head', or 'ema' for HP's moving average; a checkpoint of HP holds both."""
        return 'ema' if self.moving_average else 'head'

    @property
    def layers(self) -> CodeLayers | None:
        """The layers; None for the identity, and before the sizes are known."""
        return getattr(self, self.part, None)

    @property
    def reads_weights(self) -> bool:
        """Whether it has layers that need weights: all but the identity."""
        return self.projection != IDENTITY

    @property
    def is_noisy(self) -> bool:
        """Whether codes of an image differ from call to call."""
        return self.dropout > 0 and self.reads_weights

    def init_weights(self) -> None:
        """Read `checkpoint`, if one was given, and check what the file and `options` say of the head.

        Raises:
            BackboneCheckpointError: If the file holds no such head.
            ValueError: If the settings contradict the weights.
        """
        self._is_init = True
        if self.checkpoint is None:
            return
        name, checkpoint = describe_source(self.checkpoint), read_checkpoint(self.checkpoint)
        self._settings = stego_settings(checkpoint) if self.options is None else hp_settings(self.options)
        if not self.reads_weights:
            return
        state = code_state(checkpoint, self.moving_average, name)
        self._fit(state, name)
        self._check_settings()
        self.layers.load_state_dict(state)
        self._awaits_weights = False
        print_log(f'Code head from {name}: {self.in_channels} to {self.out_channels} channels, '
                  f'{"nonlinear" if hasattr(self.layers, "cluster2") else "linear"}'
                  f'{", moving average" if self.moving_average else ""}.', logger='current')

    def check_backbone(self, backbone: nn.Module) -> None:
        """Raise a ValueError if the head was trained on other features than the backbone gives.

        Segmentors call it after the weights are read.
        """
        width, given = getattr(backbone, 'embed_dims', None), getattr(backbone, 'features', TOKENS)
        if self.in_channels is not None and width is not None and width != self.in_channels:
            raise ValueError(f'The code head reads {self.in_channels} channels, but the backbone gives {width}: '
                             f'{self._origin()} belongs to another backbone, change arch.')
        wanted = self._settings.features
        if wanted is not None and wanted != given:
            raise ValueError(f'The code head was trained on {wanted} of the last block (dino_feat_type '
                             f"{'KK' if wanted == KEYS else 'feat'}), but the backbone gives {given}: set "
                             f"features='{wanted}' in the backbone.")

    def train(self, mode: bool = True) -> 'CodeHead':
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, maps: Sequence[Tensor], scales: Tensor | None = None) -> tuple[Tensor, ...]:
        """Maps (B, C, h, w) to codes (B, D, h, w), float32.

        Args:
            maps: Maps of the backbone.
            scales: (B, 2, C), given factors of the channels; None: drawn if `dropout` > 0.

        Raises:
            RuntimeError: If the weights were not read.
            ValueError: If the maps have another number of channels than the head reads.
        """
        if self._awaits_weights or (self.layers is None and self.reads_weights):
            raise RuntimeError(f'CodeHead was given checkpoint={self._origin()!r} but has not read it yet: call '
                               'model.init_weights() (Runner.train() does), or load a checkpoint of the whole model.')
        return tuple(self._code(level, scales) for level in maps)

    def _code(self, features: Tensor, scales: Tensor | None) -> Tensor:
        if self.in_channels not in (None, features.shape[1]):
            raise ValueError(f'The code head reads {self.in_channels} channels, but the map has {features.shape[1]}: '
                             f'{self._origin()} belongs to another backbone, change arch.')
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            if self.layers is None:
                return features
            if scales is None and self.dropout > 0:
                draws = torch.rand(len(features), 2, features.shape[1])
                scales = ((draws >= self.dropout).float() / (1 - self.dropout)).to(features.device)
            return self.layers(features, scales)

    def _build(self, in_channels: int, out_channels: int, nonlinear: bool) -> None:
        self.in_channels, self.out_channels = in_channels, out_channels
        self.add_module(self.part, CodeLayers(in_channels, out_channels, nonlinear).to(self.place.device))
        self.layers.requires_grad_(False).eval()

    def _fit(self, state: State, name: str) -> None:
        """Take the sizes of weights; those that the config gives must agree."""
        out_channels, in_channels = state['cluster1.0.weight'].shape[:2]
        nonlinear = len(layers_of(state)) > 1
        kind = NONLINEAR if nonlinear else LINEAR
        found = dict(in_channels=in_channels, out_channels=out_channels, projection=kind)
        differ = [key for key, value in found.items() if getattr(self, key) not in (None, value)]
        if differ:
            raise BackboneCheckpointError(
                f'The code head of {name} has {", ".join(f"{key}={found[key]!r}" for key in differ)}, the neck '
                f'{", ".join(f"{key}={getattr(self, key)!r}" for key in differ)}: change the neck in the config, or '
                'leave these out to take what the weights have.')
        if self.layers is None or hasattr(self.layers, 'cluster2') != nonlinear:
            if hasattr(self, '_params_init_info'):  # MMEngine refuses parameters that are new in `init_weights`
                raise BackboneCheckpointError(
                    f'The code head of {name} was not there when the model was built: set in_channels={in_channels}, '
                    f'out_channels={out_channels} and projection={kind!r} in the neck.')
            self._build(in_channels, out_channels, nonlinear)

    def _check_settings(self) -> None:
        kind = NONLINEAR if hasattr(self.layers, 'cluster2') else LINEAR
        for key, ours in (('projection', kind), ('dim', self.out_channels)):
            said = getattr(self._settings, key)
            if said not in (None, ours):
                place = 'its hyper_parameters' if self.options is None else self.options
                raise ValueError(f'{self._origin()} holds a code head with {key} {ours!r}, but {place} says {said!r}: '
                                 'name the files of one run.')

    def _origin(self) -> str:
        return 'the checkpoint' if self.checkpoint is None else describe_source(self.checkpoint)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Take the sizes of the weights; of HP's two heads the one that is asked for."""
        if self.reads_weights:
            given = {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}
            state = {key.removeprefix(f'{self.part}.'): value for key, value in given.items()
                     if key.startswith(f'{self.part}.')}
            other = 'ema' if self.part == 'head' else 'head'
            others = [key for key in given if key.startswith(f'{other}.')]
            if 'cluster1.0.weight' not in state:
                hint = f'it holds {other}.* only: set ema={not self.moving_average} in the neck' if others else (
                    'it is no checkpoint of this model; name the file of a STEGO or HP run as checkpoint of the neck')
                raise BackboneCheckpointError(f"The checkpoint has no '{prefix}{self.part}.cluster1.0.weight', so the "
                                              f'code head would keep random weights: {hint}.')
            for key in others:
                del state_dict[prefix + key]
            self._fit(state, 'the checkpoint')
            faults = [f'{prefix}{self.part}.{key}' for key, value in self.layers.state_dict().items()
                      if key not in state or state[key].shape != value.shape]
            if faults:
                raise BackboneCheckpointError(f'The checkpoint lacks {shorten(faults)} of the code head, or has it in '
                                              'another shape: download or save it again.')
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._awaits_weights = False

"""Layer-wise learning-rate decay for a DenseViT under any head."""

from collections.abc import Callable

from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn

from leopart_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS

PREFIX = 'backbone.'


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(LearningRateDecayOptimWrapperConstructor):
    """MMPretrain's layer decay for models that do not tell layer depths themselves, such as mmseg's EncoderDecoder.

    The depths come from the model's `backbone`; everything outside it has the full learning rate. Options as in
    MMPretrain: paramwise_cfg=dict(layer_decay_rate=0.75, norm_decay_mult=0., ...). What the backbone names in
    `no_weight_decay()` (tokens, positions, rotary frequencies) does not decay, unless `custom_keys` names it. With
    norm_decay_mult=0, bias_decay_mult=0 and flat_decay_mult=0, rates and weight decays are those of timm's
    `param_groups_layer_decay`.

    Raises:
        ValueError: If the backbone does not tell the depths of its layers.
    """

    def add_params(self,
                   params: list[dict],
                   module: nn.Module,
                   prefix: str = '',
                   get_layer_depth: Callable | None = None,
                   **kwargs) -> None:
        """Add the parameters of a module to the list of groups, each with the learning rate of its depth."""
        backbone = getattr(module, 'backbone', None)
        if get_layer_depth is None and not hasattr(module, 'get_layer_depth') and backbone is not None:
            if not hasattr(backbone, 'get_layer_depth'):
                raise ValueError(f'optim_wrapper.constructor: {type(backbone).__name__} does not tell the depths of '
                                 'its layers, so its learning rate cannot decay with them: take a DenseViT, or '
                                 "constructor='DefaultOptimWrapperConstructor'.")
            get_layer_depth = backbone.get_layer_depth
        super().add_params(params, module, prefix=prefix, get_layer_depth=get_layer_depth, **kwargs)
        if prefix == '' and hasattr(backbone, 'no_weight_decay'):
            self._keep_from_decay(params, {f'{PREFIX}{name}' for name in backbone.no_weight_decay()})

    def _keep_from_decay(self, params: list[dict], names: set[str]) -> None:
        custom = self.paramwise_cfg.get('custom_keys', {})
        for group in params:
            name = group['param_name']
            if name in names and 'weight_decay' in group and not any(key in name for key in custom):
                group['weight_decay'] = 0.

"""Layer-wise learning-rate decay for a DenseViT under any head."""

from collections.abc import Callable

from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn

from leopart_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(LearningRateDecayOptimWrapperConstructor):
    """MMPretrain's layer decay for models that do not tell layer depths themselves, such as mmseg's EncoderDecoder.

    The depths come from the model's `backbone`; everything outside it has the full learning rate. Options as in
    MMPretrain: paramwise_cfg=dict(layer_decay_rate=0.75, norm_decay_mult=0., ...).
    """

    def add_params(self,
                   params: list[dict],
                   module: nn.Module,
                   prefix: str = '',
                   get_layer_depth: Callable | None = None,
                   **kwargs) -> None:
        """Add the parameters of a module to the list of groups, each with the learning rate of its depth."""
        if get_layer_depth is None and not hasattr(module, 'get_layer_depth') and hasattr(module, 'backbone'):
            get_layer_depth = module.backbone.get_layer_depth
        super().add_params(params, module, prefix=prefix, get_layer_depth=get_layer_depth, **kwargs)

"""Optimiser groups: backbone and head, each with and without weight decay."""

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from leopart_mm.engine.optimizers.fused import build_optimizer
from leopart_mm.engine.wrapping import unwrap
from leopart_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS

OPTIONS = {'head_lr', 'backbone_prefix', 'decay_tokens'}


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class BackboneHeadConstructor(DefaultOptimWrapperConstructor):
    """Four groups: backbone decay, backbone no-decay, head decay, head no-decay (Leopart, suppl.).

    Head is everything outside the backbone. Biases and 1-d tensors (norms) do not decay. Parameters of equal settings
    share a group, since each group costs a launch; frozen ones are left out, and empty groups too.

    `paramwise_cfg` takes:
        head_lr (float): Learning rate of the head. Defaults to that of the optimiser, which is the backbone's.
        decay_tokens (bool): Whether position, class and register tokens decay, as published. Defaults to True.
        backbone_prefix (str): Beginning of the names of the backbone's parameters. Defaults to 'backbone.'.

    Raises:
        ValueError: If a key is unknown, the optimiser has no lr, or no parameter is trainable.
    """

    def _validate_cfg(self) -> None:
        unknown = set(self.paramwise_cfg) - OPTIONS
        if 'layer_decay' in unknown:
            raise ValueError('paramwise_cfg.layer_decay is no option any more: take '
                             "optim_wrapper.constructor='leopart_mm.LayerDecayConstructor' with "
                             f'paramwise_cfg=dict(layer_decay_rate={self.paramwise_cfg["layer_decay"]})')
        if unknown:
            raise ValueError(f'paramwise_cfg has unknown keys {sorted(unknown)}; known: {sorted(OPTIONS)}')
        if self.base_lr is None:
            raise ValueError('optim_wrapper.optimizer needs lr: it is the learning rate of the backbone')

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimiser wrapper for a model or a distributed wrapper of it."""
        model = unwrap(model)
        groups = self.param_groups(model)
        if not groups:
            raise ValueError('no parameter of the model is trainable: check frozen_stages')
        for group in groups:
            count = sum(parameter.numel() for parameter in group['params'])
            print_log(
                f'optimiser group {group["name"]}: {len(group["params"])} tensors, {count:,} parameters, '
                f'lr {group["lr"]:.3g}, weight decay {group["weight_decay"]:.3g}',
                logger='current')
        optimizer = build_optimizer(self.optimizer_cfg, groups)
        wrapper_cfg = dict(self.optim_wrapper_cfg)
        wrapper_cfg.setdefault('type', 'OptimWrapper')
        return OPTIM_WRAPPERS.build(wrapper_cfg, default_args=dict(optimizer=optimizer))

    def param_groups(self, model: nn.Module) -> list[dict]:
        """The groups as the optimiser takes them, each with a `name`."""
        prefix = self.paramwise_cfg.get('backbone_prefix', 'backbone.')
        head_lr = self.paramwise_cfg.get('head_lr', self.base_lr)
        weight_decay = self.base_wd or 0.
        groups: dict[tuple, dict] = {}
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            in_backbone = name.startswith(prefix)
            decays = self._decays(name, parameter)
            group = groups.setdefault(
                (not in_backbone, not decays),
                dict(
                    params=[],
                    lr=self.base_lr if in_backbone else head_lr,
                    weight_decay=weight_decay if decays else 0.,
                    name=f'{"backbone" if in_backbone else "head"}_{"decay" if decays else "no_decay"}'))
            group['params'].append(parameter)
        return [groups[key] for key in sorted(groups)]

    def _decays(self, name: str, parameter: nn.Parameter) -> bool:
        if parameter.ndim <= 1 or name.endswith(('.bias', '.rope.freqs')):  # frequencies are no weights
            return False
        is_token = name.rsplit('.', 1)[-1] in ('pos_embed', 'cls_token', 'reg_token', 'dist_token')
        return self.paramwise_cfg.get('decay_tokens', True) or not is_token

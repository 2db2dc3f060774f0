"""Configs from the time when a head held the loss (`LeopartHead`, `NeCoHead`) build the loss itself."""

from typing import Any

from torch import nn

from leopart_mm.registry import MODELS

LOSSES = dict(LeopartHead='leopart_mm.LeopartLoss', NeCoHead='leopart_mm.NeCoLoss')


def loss_config(head: dict) -> dict:
    """The config of a loss from a config of a head that may still hold one under `loss`.

    Also for a config of a loss to which a user's file adds the old ``head=dict(loss=dict(mask='all'))``.

    >>> loss_config(dict(type='leopart_mm.LeopartHead', num_prototypes=7, loss=dict(type='LeopartLoss', kernel=3)))
    {'type': 'LeopartLoss', 'num_prototypes': 7, 'kernel': 3}
    """
    loss = dict(head)
    held = loss.pop('loss', None) or {}
    loss['type'] = held.get('type') or LOSSES.get(str(loss['type']).rsplit('.', 1)[-1], loss['type'])
    return {**loss, **held}


@MODELS.register_module()
def LeopartHead(**kwargs: Any) -> nn.Module:  # noqa: N802
    """A LeopartLoss from the arguments that its head took: embed_dims, num_prototypes, loss."""
    return MODELS.build(loss_config(dict(kwargs, type='LeopartHead')))


@MODELS.register_module()
def NeCoHead(**kwargs: Any) -> nn.Module:  # noqa: N802
    """A NeCoLoss from the arguments that its head took: loss."""
    return MODELS.build(loss_config(dict(kwargs, type='NeCoHead')))

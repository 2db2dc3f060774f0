"""Configs from the time when a head held the loss (`LeopartHead`, `NeCoHead`) build the loss itself."""

import copy
from typing import Any

from mmengine.config import Config
from mmengine.config.config import DELETE_KEY
from torch import nn

from leopart_mm.registry import MODELS

PARTS_OF_HEAD = ('type', 'embed_dims', 'num_prototypes', 'init_cfg')  # what a head had beside its loss
LOSSES = dict(LeopartHead='leopart_mm.LeopartLoss', NeCoHead='leopart_mm.NeCoLoss')


def loss_config(head: dict) -> dict:
    """The config of a loss from a config of a head that may still hold one under `loss`.

    Also for a config of a loss to which a user's file adds the old ``head=dict(loss=dict(mask='all'))``. The held loss
    is merged as MMEngine would have done had the base held one too: dicts key by key, ``_delete_=True`` replaces.

    >>> loss_config(dict(type='leopart_mm.LeopartHead', num_prototypes=7, loss=dict(type='LeopartLoss', kernel=3)))
    {'type': 'LeopartLoss', 'num_prototypes': 7, 'kernel': 3}
    """
    loss = copy.deepcopy(dict(head))
    held = dict(loss.pop('loss', None) or {})
    loss['type'] = LOSSES.get(str(loss['type']).rsplit('.', 1)[-1], loss['type'])
    if held.pop(DELETE_KEY, False):
        loss = {key: value for key, value in loss.items() if key in PARTS_OF_HEAD}
    return dict(Config._merge_a_into_b(held, loss))


@MODELS.register_module()
def LeopartHead(**kwargs: Any) -> nn.Module:  # noqa: N802
    """A LeopartLoss from the arguments that its head took: embed_dims, num_prototypes, loss."""
    return MODELS.build(loss_config(dict(kwargs, type='LeopartHead')))


@MODELS.register_module()
def NeCoHead(**kwargs: Any) -> nn.Module:  # noqa: N802
    """A NeCoLoss from the arguments that its head took: loss."""
    return MODELS.build(loss_config(dict(kwargs, type='NeCoHead')))

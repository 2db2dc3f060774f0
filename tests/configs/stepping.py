"""One training step of a config's (shrunk) model."""

import numpy as np
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from leopart_mm.registry import MODELS


def take_step(cfg, model_cfg, batch_of):
    """Build and initialise the model, step once with the config's optimiser; the model, its logs, what changed.

    `batch_of` makes a batch from the config. The last is whether the first layer of the neck is another than before.
    """
    torch.manual_seed(0)
    np.random.seed(0)
    init_default_scope('mmpretrain')
    model = MODELS.build(model_cfg)
    model.init_weights()
    model.before_step()
    model.train()
    before = model.neck.mlp[0].weight.clone()
    logs = model.train_step(batch_of(cfg), build_optim_wrapper(model, cfg.optim_wrapper))
    model.after_step()
    return model, logs, not torch.equal(before, model.neck.mlp[0].weight)

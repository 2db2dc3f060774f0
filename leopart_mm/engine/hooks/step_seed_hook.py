"""Random numbers of the model that depend on seed and iteration alone."""

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from leopart_mm.registry import HOOKS


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seeds torch before every iteration with (seed of the run, iteration, rank).

    MMEngine's checkpoints hold no state of the random generators, so drop path would draw other blocks after a resume.
    With this hook a resumed run repeats the uninterrupted one bit for bit (data: see `DrawSampler`).
    """

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Seed this iteration."""
        # Any map to different seeds will do; the primes keep runs with neighbouring seeds apart.
        torch.manual_seed((runner.seed * 1_000_000_007 + runner.iter * 10_007 + get_rank()) % 2**63)

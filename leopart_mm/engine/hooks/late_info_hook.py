"""LateInfoHook: MMEngine's RuntimeInfoHook that does not wait for the GPU at every step."""

from collections.abc import Mapping

from mmengine.hooks import RuntimeInfoHook
from mmengine.runner import Runner

from leopart_mm.engine.late_scalars import record
from leopart_mm.registry import HOOKS


@HOOKS.register_module()
class LateInfoHook(RuntimeInfoHook):
    """Keeps the numbers of every step for the log; those on a GPU are read when somebody looks, such as LoggerHook.

    The log, its means and the checkpoints are those of `RuntimeInfoHook`, whose place it takes:
    ``default_hooks=dict(runtime_info=dict(type='leopart_mm.LateInfoHook'))``.
    """

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: dict | None = None,
                         outputs: Mapping | None = None) -> None:
        """Keep this step's numbers."""
        for name, value in (outputs or {}).items():
            record(runner.message_hub, f'train/{name}', value)

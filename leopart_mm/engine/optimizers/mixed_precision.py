"""Mixed precision on GPU and CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from leopart_mm.engine.late_scalars import record
from leopart_mm.registry import OPTIM_WRAPPERS

DTYPES = dict(float16=torch.float16, bfloat16=torch.bfloat16)


@OPTIM_WRAPPERS.register_module()
class MixedPrecisionOptimWrapper(AmpOptimWrapper):
    """MMEngine's AmpOptimWrapper, which refuses CPUs, made to run there too; `tools/train.py --amp` uses it.

    Args:
        dtype: 'float16' or 'bfloat16'. Defaults to float16 on a GPU and bfloat16, in which CPUs are fast, on a CPU.
        loss_scale: As in AmpOptimWrapper. bfloat16 has float32's range: its loss is never scaled, and no step waits to
            see whether it overflowed.
        **kwargs: As in :class:`mmengine.optim.OptimWrapper`.

    Raises:
        ValueError: If `dtype` is not one of the two.
    """

    def __init__(self, loss_scale: str | float | dict = 'dynamic', dtype: str | None = None, **kwargs) -> None:
        if dtype is not None and dtype not in DTYPES:
            raise ValueError(f"optim_wrapper.dtype={dtype!r} is unknown; choose 'float16' or 'bfloat16'.")
        self.on_cpu = get_device() == 'cpu'
        if not self.on_cpu:
            super().__init__(loss_scale=loss_scale, dtype=dtype, **kwargs)
            if dtype == 'bfloat16':
                self.loss_scaler = torch.amp.GradScaler(get_device(), enabled=False)
                self._scale_update_param = None
            return
        OptimWrapper.__init__(self, **kwargs)
        self.cast_dtype = DTYPES[dtype or 'bfloat16']
        self._scale_update_param = loss_scale if isinstance(loss_scale, float) else None
        settings = dict(loss_scale) if isinstance(loss_scale, dict) else {}
        if isinstance(loss_scale, float):
            settings['init_scale'] = loss_scale
        self.loss_scaler = torch.amp.GradScaler('cpu', enabled=self.cast_dtype is torch.float16, **settings)

    def _clip_grad(self) -> None:
        """As MMEngine's, without reading the norm at every step."""
        parameters = [one for group in self.optimizer.param_groups for one in group["params"]
                      if one.requires_grad and one.grad is not None]
        if parameters:
            norm = self.clip_func(parameters, **self.clip_grad_kwargs)
            if norm is not None:  # clipping by value has none
                record(self.message_hub, f'train/{self.grad_name}', norm)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast on the model's device; MMEngine's own refuses float16 on CPUs."""
        if not self.on_cpu:
            with super().optim_context(model):
                yield
            return
        with OptimWrapper.optim_context(self, model), torch.autocast('cpu', dtype=self.cast_dtype):
            yield

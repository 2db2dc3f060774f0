"""Numbers of the log that are read off a GPU when somebody looks at them, not at every step.

To read a number waits for everything that the GPU has yet to do.
"""

from collections.abc import Iterable

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch import Tensor

from leopart_mm.devices import has_float64, on_cpu

MAX_PENDING = 1000  # so that a run that never looks holds few tensors


class LateHistory(HistoryBuffer):
    """MMEngine's history of a number, in which the last entries may be tensors on a device until somebody reads it.

    Copies and files hold an ordinary HistoryBuffer.
    """

    def __init__(self, history: HistoryBuffer | None = None) -> None:
        self._pending: list[Tensor] = []
        super().__init__()
        if history is not None:
            self.__dict__.update(history.__dict__)

    def update(self, log_val: float | Tensor, count: int = 1) -> None:
        """Append a number, or a tensor of one number, which is read later."""
        if isinstance(log_val, Tensor) and not on_cpu(log_val) and count == 1:
            self._pending.append(log_val.detach().reshape(()).clone())
            if len(self._pending) > MAX_PENDING:
                self.read()
        else:
            self.read()
            super().update(log_val.item() if isinstance(log_val, Tensor) else log_val, count)

    def read(self) -> None:
        """Read what is pending."""
        pending, self._pending = self._pending, []
        for value in on_host(pending):
            super().update(value)

    @property
    def _log_history(self) -> np.ndarray:
        self.read()
        return self.__dict__['_log_history']

    @_log_history.setter
    def _log_history(self, values: np.ndarray) -> None:
        self.__dict__['_log_history'] = values

    @property
    def _count_history(self) -> np.ndarray:
        self.read()
        return self.__dict__['_count_history']

    @_count_history.setter
    def _count_history(self, values: np.ndarray) -> None:
        self.__dict__['_count_history'] = values

    def __reduce_ex__(self, protocol: int) -> tuple:
        log, counts = self.data
        return HistoryBuffer, (list(log), list(counts), self.max_length)


def on_host(values: Iterable[Tensor]) -> list[float]:
    """The numbers of tensors of one element each, in one trip."""
    values = [value.detach().reshape(()).to(torch.float64 if has_float64(value.device) else torch.float32)
              for value in values]
    return torch.stack(values).tolist() if values else []


def record(hub: MessageHub, name: str, value: float | Tensor) -> None:
    """`hub.update_scalar`, but a number on a device is read when somebody looks at the history."""
    if isinstance(value, Tensor) and not on_cpu(value):
        history = hub.log_scalars.get(name)
        if not isinstance(history, LateHistory):
            history = hub.log_scalars[name] = LateHistory(history)
        history.update(value)
    else:
        hub.update_scalar(name, value)

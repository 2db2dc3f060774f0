"""Faults in data that lies on a GPU, raised at the end of a pass: reading each flag at once would stall the GPU."""

from collections.abc import Callable

import torch
from torch import Tensor

Check = Callable[[Tensor, Callable[[int], str]], None]
"""Takes a number of faults and what to say of it, see `LateChecks.add`."""
AT_A_TIME = 1024
"""Flags that wait together; they are read when there are so many."""


def check_at_once(faults: Tensor, message: Callable[[int], str]) -> None:
    """Raise a ValueError if there are faults; the host waits for the number."""
    number = int(faults)
    if number:
        raise ValueError(message(number))


class LateChecks:
    """Numbers of faults per check. On the CPU a fault raises at once, on other devices when `finish` reads the numbers.

    Until then the work goes on with what is faulty, so that it must not make worse of it than wrong numbers.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Tensor, Callable[[int], str]]] = []

    def add(self, faults: Tensor, message: Callable[[int], str]) -> None:
        """Note a check.

        Args:
            faults: (), bool or integer: the number of faults; 0 is right.
            message: Says what is wrong with that many faults.

        Raises:
            ValueError: If a fault is known.
        """
        self._waiting.append((faults, message))
        if faults.device.type == 'cpu' or len(self._waiting) == AT_A_TIME:
            self.finish()

    def named(self, name: str) -> Check:
        """As `add`, with a name before what is said."""
        return lambda faults, message: self.add(faults, lambda number: f'{name}: {message(number)}')

    def finish(self) -> None:
        """Read all that is not known yet, in one transfer.

        Raises:
            ValueError: If there is a fault: that of the first check.
        """
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        for number, (_, message) in zip(torch.stack([faults.long() for faults, _ in waiting]).tolist(), waiting,
                                        strict=True):
            if number:
                raise ValueError(message(number))

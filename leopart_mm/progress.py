"""A progress bar on a terminal, a few log lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

from mmengine.dist import is_main_process
from mmengine.logging import print_log

Item = TypeVar('Item')


def progress(items: Iterable[Item], phase: str, total: int, lines: int = 10,
             time_left: bool = False, first_after: float = 10.) -> Iterator[Item]:
    """Yield the items, and show on the main process how many are done.

    Args:
        items: Items to pass on.
        phase: Name of the work, such as 'Reading features'.
        total: Number of items.
        lines: Number of lines to log where the output is no terminal.
        time_left: Whether these lines say how long the rest will take; a terminal always does.
        first_after: Seconds after which, with `time_left`, a first line comes in any case.
    """
    if not is_main_process():
        yield from items
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track
        yield from track(items, description=phase, total=total, console=Console(stderr=True))
    else:
        step, start, said = max(1, -(-total // lines)), time.monotonic(), False
        for number, item in enumerate(items, 1):
            yield item
            passed = time.monotonic() - start
            if number % step == 0 or number == total or (time_left and not said and passed > first_after):
                said = True
                seconds = passed / number * (total - number)
                rest = f', {timedelta(seconds=round(seconds))} left' if time_left and number < total else ''
                print_log(f'{phase}: {number}/{total}{rest}', logger='current')

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
             time_left: bool = False) -> Iterator[Item]:
    """Yield the items, and show on the main process how many are done.

    Args:
        items: Items to pass on.
        phase: Name of the work, such as 'Reading features'.
        total: Number of items.
        lines: Number of lines to log where the output is no terminal.
        time_left: Whether these lines say how long the rest will take; a terminal always does.
    """
    if not is_main_process():
        yield from items
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track
        yield from track(items, description=phase, total=total, console=Console(stderr=True))
    else:
        step, start = max(1, -(-total // lines)), time.monotonic()
        for number, item in enumerate(items, 1):
            yield item
            if number % step == 0 or number == total:
                seconds = (time.monotonic() - start) / number * (total - number)
                rest = f', {timedelta(seconds=round(seconds))} left' if time_left and number < total else ''
                print_log(f'{phase}: {number}/{total}{rest}', logger='current')

"""Fitting on several processes: each reads its part, the main process solves, all get the result or the error."""

from collections.abc import Callable
from typing import Any, TypeVar

from mmengine.dist import all_gather_object, broadcast_object_list, gather_object, is_main_process

Result = TypeVar('Result')


def gather_parts(read: Callable[[], Any]) -> list[Any] | None:
    """What `read` returned on every process, in order of rank, on the main process; None elsewhere.

    Raises:
        ValueError: If `read` raised one on any process. It is raised on all, so that no process deadlocks.
    """
    part, fault = None, None
    try:
        part = read()
    except ValueError as error:
        fault = str(error)
    faults = [text for text in all_gather_object(fault) if text is not None]
    if faults:
        raise ValueError(faults[0])
    return gather_object(part, dst=0)


def broadcast_result(solve: Callable[[], Result]) -> Result:
    """Run `solve` on the main process and return its result on all.

    Raises:
        ValueError: If `solve` raised one; it is raised on all processes.
    """
    box: list[Any] = [None, None]
    if is_main_process():
        try:
            box[0] = solve()
        except ValueError as error:
            box[1] = str(error)
    broadcast_object_list(box)
    if box[1] is not None:
        raise ValueError(box[1])
    return box[0]

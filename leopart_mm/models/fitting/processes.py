"""Fitting on several processes: each reads its part, the main process solves, all get the result or the error."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from mmengine.dist import all_gather_object, broadcast_object_list, gather_object, get_world_size, is_main_process
from torch import Tensor

Result = TypeVar('Result')


def gather_parts(read: Callable[[], Any]) -> list[Any] | None:
    """What `read` returned on every process, in order of rank, on the main process; None elsewhere.

    A single process keeps tensors where they are; of several they come to the CPU.

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
    return gather_object(part if get_world_size() == 1 else _on_cpu(part), dst=0)


def _on_cpu(value: Any) -> Any:
    """Tensors in dicts, lists, tuples and data classes on the CPU: another process may not see this one's device."""
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_on_cpu, value))
    if is_dataclass(value):
        return replace(value, **{field.name: _on_cpu(getattr(value, field.name)) for field in fields(value)})
    return value


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

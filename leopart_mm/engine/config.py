"""Loading a config so that one variable on the command line reaches every place that was filled from it.

MMEngine evaluates a config file before it merges ``--cfg-options``: with ``data_root = 'data/x'`` on top and
``dataset=dict(data_root=data_root)`` below, ``--cfg-options data_root=...`` would change the top line only.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

# Top-level variables of our configs that name a path. Only these spread: spreading any key (`default_scope`, ...)
# would also change values that are equal by chance.
PATH_VARIABLES = ('data_root', 'train_data_root', 'val_data_root', 'checkpoint')
# `iterations` says how long a run is; these keys hold it.
ITERATION_KEYS = ('max_iters', 'T_max', 'end', 'interval')


def load_config(path: str | Path, cfg_options: Mapping[str, Any] | None = None) -> Config:
    """Read a config file and apply command-line overrides, path variables included.

    A path variable (`PATH_VARIABLES`) in ``cfg_options`` replaces the file's value everywhere: every string of the
    config that equals the old value, or lies below it (``'<old>/...'``), is rewritten. ``iterations`` replaces the
    file's value in the length of training and of its schedules (`ITERATION_KEYS`). Other overrides are merged after it,
    as MMEngine does, so ``val_dataloader.dataset.data_root=...`` still wins for its one place.

    Args:
        path: The config file.
        cfg_options: What ``DictAction`` parsed from ``--cfg-options``; dotted keys allowed.

    Returns:
        The merged config.

    Raises:
        FileNotFoundError: There is no such config file.
        ValueError: A path variable is given a value that is not a non-empty string. (``checkpoint=None`` is allowed:
            it means no pretrained weights.) ``iterations`` is no positive integer.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'There is no config file {path}. Configs lie under configs/; give the path to one.')
    config = Config.fromfile(path)
    options = dict(cfg_options or {})
    for name in PATH_VARIABLES:
        if name in options and isinstance(config.get(name), str):
            _check_path(name, options[name])
            spread_value(config._cfg_dict, config[name], options[name])
    if 'iterations' in options and isinstance(config.get('iterations'), int):
        _check_iterations(options['iterations'])
        _spread_iterations(config._cfg_dict, config.iterations, options['iterations'])
    if options:
        config.merge_from_dict(options)
    return config


def spread_value(node: Any, old: str, new: str | None) -> Any:
    """Replace, in place, every string in nested dicts and lists that is `old` or a path below it; returns `node`."""
    if isinstance(node, dict):
        for key, value in node.items():
            node[key] = spread_value(value, old, new)
        return node
    if isinstance(node, list):
        node[:] = [spread_value(value, old, new) for value in node]
        return node
    if isinstance(node, tuple):
        return tuple(spread_value(value, old, new) for value in node)
    if node == old:
        return new
    if isinstance(node, str) and new and old and node.startswith(old.rstrip('/') + '/'):
        return new.rstrip('/') + node[len(old.rstrip('/')):]
    return node


def _check_path(name: str, value: Any) -> None:
    if name == 'checkpoint' and value is None:
        return
    if not isinstance(value, str) or not value:
        raise ValueError(f'--cfg-options {name}={value!r}: {name} must be a non-empty path.')


def _spread_iterations(node: Any, old: int, new: int) -> None:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key in ITERATION_KEYS and value == old:
            node[key] = new
        elif isinstance(value, dict | list):
            _spread_iterations(value, old, new)


def _check_iterations(value: Any) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f'--cfg-options iterations={value!r}: iterations must be a positive whole number.')

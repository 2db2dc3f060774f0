"""The config that a checkpoint carries, read without running it."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from leopart_mm.engine.config import load_config


class ConfigTextError(ValueError):
    """A config text that is more than names and plain values."""


def config_of(checkpoint: Mapping, name: str, config: str | Path | Config | None = None) -> Config:
    """The config of a fitted checkpoint: `config`, or what its `meta.cfg` holds.

    Args:
        checkpoint: A loaded checkpoint.
        name: What messages call the checkpoint.
        config: A config file, a Config, or None.

    Raises:
        ValueError: If no config was given and the checkpoint has none, or none that can be read.
    """
    if config is not None:
        return config if isinstance(config, Config) else load_config(config)
    text = checkpoint['meta']['cfg'] if has_config(checkpoint) else None
    if text is None:
        raise ValueError(f'{name} carries no config (meta.cfg): give the config file too. Checkpoints written by '
                         'tools/test.py --save-fitted carry it.')
    try:
        return Config(parse_config_text(text))
    except (ConfigTextError, SyntaxError) as error:
        raise ValueError(f'The config in {name} cannot be read safely ({error}): give the config file too.') from error


def has_config(checkpoint: Any) -> bool:
    """Whether a checkpoint carries its config."""
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    return isinstance(meta, Mapping) and bool(meta.get('cfg'))


def parse_config_text(text: str) -> dict[str, Any]:
    """Read the text of a dumped config: assignments of plain values, `dict(...)` of such and `float('inf')`.

    MMEngine would import the text as a Python module, so that loading a checkpoint would run code in it.

    Raises:
        ConfigTextError: If the text holds anything else.
    """
    values = {}
    for statement in ast.parse(text).body:
        if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1
                and isinstance(statement.targets[0], ast.Name)):
            raise ConfigTextError(f'line {statement.lineno} is no assignment')
        values[statement.targets[0].id] = _value(statement.value)
    return values


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id == 'dict' and not node.args and all(keyword.arg for keyword in node.keywords):
            return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
        if node.func.id == 'float' and len(node.args) == 1 and not node.keywords:
            return float(_value(node.args[0]))
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ConfigTextError(f'line {node.lineno} holds more than plain values') from None


def test_pipeline_of(config: Config) -> list[dict]:
    """The test transforms of a config.

    Raises:
        ValueError: If it has none.
    """
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    while 'pipeline' not in dataset and ('dataset' in dataset or 'datasets' in dataset):
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    pipeline = dataset.get('pipeline') or config.get('test_pipeline')
    if not pipeline:
        raise ValueError('The config has no test transforms: test_dataloader.dataset.pipeline is missing. Give the '
                         'config that the model was evaluated with.')
    return list(pipeline)

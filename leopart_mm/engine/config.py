"""Loading a config with command-line options: variables and the network by name, no option without effect."""

import difflib
import inspect
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from leopart_mm.engine.config_variables import load_with_variables
from leopart_mm.engine.network_variable import check_widths, network_variables, say_colours, use_network
from leopart_mm.engine.old_bases import old_bases
from leopart_mm.engine.options import interpret, is_path
from leopart_mm.engine.renamed_configs import find_config

# Top-level keys that MMEngine's Runner, mmseg's tools or ours read beside the arguments of the Runner.
READ_BY_TOOLS = ('launcher', 'model_wrapper_cfg', 'find_unused_parameters', 'sync_bn', 'compile', 'runner_type',
                 'tta_model', 'tta_pipeline', 'custom_imports', 'env_cfg', 'activation_checkpointing',
                 'efficient_conv_bn_eval', 'backbone')


def load_config(path: str | Path, cfg_options: Mapping[str, Any] | None = None) -> Config:
    """Read a config file and apply command-line options.

    - A name without dots that a file of the `_base_` chain assigns (``data_root``, ``val_data_root``, ``checkpoint``,
      ``iterations``, ``arch``, ...) gets its value in all files, before they are run: every place that uses the name
      follows, and no place that merely has an equal value. A variable that is not given keeps its own default.
    - ``backbone=SOURCE`` (with ``arch=NAME`` for a file) sets ``arch``, ``checkpoint``, ``embed_dims``, ``depth``,
      ``patch_size``, ``pos_interp``, ``mean`` and ``std``, see `network_variables`. ``arch=NAME`` alone sets what
      follows from it.
    - Dotted keys are merged last, as MMEngine does, and so win for their place.

    Args:
        path: The config file; an old name of one of ours finds what it is called now.
        cfg_options: Values by key, as `OptionAction` collects them, or plain Python values.

    Returns:
        The merged config.

    Raises:
        FileNotFoundError: If there is no such config file.
        ValueError: If a key is unknown (the message names the nearest), if a path variable is empty or None
            (``checkpoint=None`` is allowed: no pretrained weights), if ``iterations`` or ``epochs`` is not a positive
            integer, or if widths do not fit the network.
    """
    with old_bases():
        return _load(*find_config(path), cfg_options)


def _load(path: Path, implied: Mapping[str, Any], cfg_options: Mapping[str, Any] | None) -> Config:
    config = Config.fromfile(path)
    given = cfg_options if 'backbone' in (cfg_options or {}) else {**implied, **(cfg_options or {})}
    options = {key: interpret(key, value, _at(config, key)) for key, value in given.items()}
    if 'checkpoint' in options and 'checkpoint' not in config and config.get('train_dataloader') is None:
        options['load_from'] = options.pop('checkpoint')  # an evaluation, whose weights are loaded as a whole
    _refuse_unknown(path, config, options)
    for name in options:
        _check(name, options[name], config.get(name))
    network = network_variables(config, options) if 'backbone' not in config else {}
    variables = {**{key: value for key, value in options.items() if _is_variable(key, config)}, **network}
    if variables:
        default = config
        config, assigned = load_with_variables(path, variables)
        given = {key: variables[key] for key in options if key in variables}
        _warn_of_vain(default, config, variables, given, assigned)
    if network:
        use_network(config, network)
    if options:
        config.merge_from_dict({key: value for key, value in options.items() if key not in network and (
            key != 'backbone' or key in config)})
        check_widths(config)
        say_colours(config, options)
    _say_what_stays(config, options)
    return config


def _is_variable(key: str, config: Config) -> bool:
    """Whether a key is a plain top-level value of the config, no dict and no list of dicts."""
    if '.' in key or key not in config:
        return False
    value = config[key]
    return not (isinstance(value, Mapping) or (isinstance(value, list | tuple)
                                               and any(isinstance(item, Mapping) for item in value)))


def _at(config: Config, key: str) -> Any:
    """What the config holds under a dotted key; None if nothing."""
    node = config._cfg_dict
    for part in key.split('.'):
        if isinstance(node, Mapping):
            node = node.get(part)
        elif isinstance(node, list | tuple) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            return None
    return node


def _check(name: str, value: Any, present: Any) -> None:
    if name in ('iterations', 'epochs') and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ValueError(f'--cfg-options {name}={value!r}: {name} must be a positive whole number.')
    if isinstance(present, str) and is_path(name, present) and name not in ('checkpoint', 'load_from') and (
            not isinstance(value, str) or not value):
        raise ValueError(f'--cfg-options {name}={value!r}: {name} must be a non-empty path.')


def _refuse_unknown(path: Path, config: Config, options: Iterable[str]) -> None:
    known = {*config.keys(), *READ_BY_TOOLS, *_runner_arguments()}
    for key in options:
        first, *rest = key.split('.')
        if first not in known and not (first == 'arch' and not rest):
            names = (name for name in config if _is_variable(name, config) and name not in _runner_arguments())
            raise ValueError(f"--cfg-options {key}=...: {path.name} has no '{first}', so the option would do nothing."
                             f'{_suggestion(first, known) or _length(first, config)} Its variables: '
                             f'{", ".join(sorted(names))}.')
        if rest:
            _warn_of_misspelling(config, key)


def _warn_of_misspelling(config: Config, key: str) -> None:
    """A new key of a dict may be meant (an argument that the config leaves at its default); one that is almost the
    name of another is worth a word."""
    parent, _, name = key.rpartition('.')
    siblings = _at(config, parent)
    if isinstance(siblings, Mapping) and name not in siblings and (hint := _suggestion(name, siblings, 0.75)):
        _warn(f"--cfg-options {key}=...: the config has no '{name}' there.{hint}")


def _suggestion(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    nearest = difflib.get_close_matches(name, [key for key in known if key], n=1, cutoff=cutoff)
    return f" Did you mean '{nearest[0]}'?" if nearest else ''


def _length(name: str, config: Config) -> str:
    """Where a run counts epochs, what to give instead of iterations."""
    if _suggestion(name, ['iterations']) and 'max_epochs' in (config.get('train_cfg') or {}):
        return f' This run counts epochs: {"epochs" if "epochs" in config else "train_cfg.max_epochs"}=...'
    return ''


def _runner_arguments() -> set[str]:
    from mmengine.runner import Runner
    return set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}


def _warn_of_vain(default: Config, config: Config, variables: Mapping[str, Any], given: Mapping[str, Any],
                  assigned: set[str]) -> None:
    """Name given variables that change nothing but themselves."""
    path = Path(default.filename)
    if lazy := given.keys() - assigned:
        _warn(f'--cfg-options {", ".join(sorted(lazy))}: variables do not spread in a config of this kind (with '
              'read_base(), JSON, YAML); only the top-level value changes.')
    for name in (given.keys() & assigned) - _runner_arguments() - set(READ_BY_TOOLS):
        alone = config if len(variables) == 1 else load_with_variables(path, {name: variables[name]})[0]
        if alone.get(name) != default.get(name) and _without(alone, name) == _without(default, name):
            _warn(f"--cfg-options {name}={given[name]!r}: nothing in {path.name} uses '{name}', so the option does "
                  'nothing.')


def _without(config: Config, name: str) -> dict:
    return {key: value for key, value in config._cfg_dict.items() if key != name}


def _say_what_stays(config: Config, options: Mapping[str, Any]) -> None:
    stays = config.get('val_data_root')
    if 'data_root' in options and stays is not None and 'val_data_root' not in options and config.get('val_cfg'):
        print_log(f'Validation reads val_data_root={stays} (--cfg-options val_data_root=... for another folder, '
                  '--no-validate for none).', logger='current')


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)

"""Weights as Hugging Face's `save_pretrained` lays them: a folder with `config.json` and one or several files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

INDEX = '.index.json'
# Of each pair the file itself counts before its shards; safetensors hold no code.
NAMES = ('model.safetensors', f'model.safetensors{INDEX}', 'pytorch_model.bin', f'pytorch_model.bin{INDEX}')
CONFIG, PREPROCESSOR = 'config.json', 'preprocessor_config.json'


def weights_in(path: Path) -> Path | None:
    """The file of weights, or the index of shards, that a folder or an index stands for; None for other paths."""
    if path.is_dir():
        return next((path / name for name in NAMES if (path / name).is_file()), None)
    return path if path.name.endswith(INDEX) and path.is_file() else None


def has_weights(path: Path) -> bool:
    """Whether a path is a file, or a folder with weights in it."""
    return path.is_file() or weights_in(path) is not None


def colours_in(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """RGB mean and standard deviation (0..255) that a folder of weights names; None where it names none."""
    weights = weights_in(path) or path
    if weights.name not in NAMES:
        return None
    try:
        found = json.loads((weights.parent / PREPROCESSOR).read_text(encoding='utf-8'))
        mean, std = (tuple(round(255 * float(value), 4) for value in found[key]) for key in ('image_mean', 'image_std'))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return mean, std


def shards_of(index: Path) -> list[Path]:
    """The files that an index of shards names, in order.

    Raises:
        RuntimeError: If it is no such index.
        FileNotFoundError: If one of them does not exist.
    """
    names = sorted(set(_weight_map(index).values()))
    if strange := [name for name in names if Path(name).name != name]:
        raise RuntimeError(f'{index} names {strange[0]!r}, which does not lie beside it: download it again.')
    files = [index.parent / name for name in names]
    if absent := [file for file in files if not file.is_file()]:
        raise FileNotFoundError(f'{index} names {len(files)} files of weights, of which {absent[0].name} is missing: '
                                'copy or download it too.')
    return files


def weight_files(path: Path) -> list[Path]:
    """The files of weights, in order, that a path of `weights_in` stands for; a file stands for itself."""
    found = weights_in(path) or path
    return shards_of(found) if found.name.endswith(INDEX) else [found]


def read_shards(index: Path, read: Callable[[Path], Any]) -> dict[str, Any]:
    """The tensors of all shards that an index names.

    Args:
        index: Path of the index.
        read: Reads one file.

    Raises:
        RuntimeError: If a tensor that the index names is in none of them.
    """
    state: dict[str, Any] = {}
    for file in shards_of(index):
        state.update(read(file))
    if absent := sorted(_weight_map(index).keys() - state.keys()):
        raise RuntimeError(f'{index} names {absent[0]}, which none of its files holds: download all of them again.')
    return state


def config_beside(path: Path) -> dict[str, Any] | None:
    """The config in a folder of weights, or beside such a folder's file; None where none is of transformers or timm.

    Raises:
        RuntimeError: If there is one that cannot be read.
    """
    weights = weights_in(path) or path
    file = weights.parent / CONFIG
    if weights.name not in NAMES or not weights.is_file() or not file.is_file():
        return None
    try:
        config = json.loads(file.read_text(encoding='utf-8'))
    except ValueError as error:
        raise RuntimeError(f'{file} is no JSON ({error}): copy or download it again.') from error
    return config if isinstance(config, dict) and {'model_type', 'architecture'} & config.keys() else None


def _weight_map(index: Path) -> dict[str, str]:
    try:
        found = json.loads(index.read_text(encoding='utf-8'))['weight_map']
        return {str(key): str(name) for key, name in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RuntimeError(f'{index} is no index of weights: it needs "weight_map" ({type(error).__name__}: {error}). '
                           'Copy or download it again.') from error

"""Reading checkpoint files without running code that a file may carry.

PyTorch checkpoints are pickles, and a pickle can call any function. Three ways to read them, each safe:

1. safetensors files hold no code at all;
2. `torch.load(weights_only=True)`, with the few classes that MMEngine writes registered as safe globals;
3. for files that name training-framework classes (Lightning, omegaconf, argparse), a restricted unpickler that knows
   the same plain types and turns every such class into an inert dict: nothing of it is imported or called.

Files that need any other class are refused, unless the user says that the file is trusted.
"""

import io
import os
import pickle
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
import torch

from leopart_mm.checkpoints.file_kinds import is_safetensors, what_it_is
from leopart_mm.weight_folder import INDEX, read_shards, weights_in

UNSAFE_ENV = 'LEOPART_MM_UNSAFE_CHECKPOINTS'
SUFFIXES = ('.ckpt', '.pt', '.pth', '.safetensors')

# Frameworks whose objects lie beside the weights (callbacks, hyper-parameters) and are not needed to read them.
INERT_PACKAGES = ('pytorch_lightning', 'lightning', 'lightning_fabric', 'lightning_utilities', 'omegaconf', 'yacs',
                  'easydict', 'ml_collections', 'sacred', 'argparse', 'pathlib', 'typing')


class BackboneCheckpointError(RuntimeError):
    """A checkpoint that cannot be fetched, or does not hold the weights of this backbone."""


class UnsafeCheckpointError(RuntimeError):
    """The file can only be read by running code that it names."""


class Inert(dict):
    """Stand-in for an object of a class that was not imported; keeps dict items and nothing else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.update(state)

    def append(self, item: Any) -> None:
        """Accept list items of a pickled list subclass."""

    def extend(self, items: Any) -> None:
        """Accept list items of a pickled list subclass."""

    def __hash__(self) -> int:  # callbacks are dictionary keys in some files
        return id(self)


def load_checkpoint_file(path: str | os.PathLike | BinaryIO, map_location: Any = 'cpu', unsafe: bool = False) -> Any:
    """Read a checkpoint of any origin (`.pth`, `.pt`, `.ckpt`, `.safetensors`) safely.

    Args:
        path: The file, an open binary file of PyTorch's format, or what transformers' `save_pretrained` writes: a
            folder with `model.safetensors` in it, or an index of shards (`model.safetensors.index.json`).
        map_location: As in `torch.load`.
        unsafe: Trust the file and allow arbitrary unpickling. The environment variable
            ``LEOPART_MM_UNSAFE_CHECKPOINTS=1`` does the same for whole programs.

    Returns:
        What the file holds, usually a dict. Objects of training frameworks beside the weights come as `Inert` dicts.

    Raises:
        FileNotFoundError: If the file does not exist.
        UnsafeCheckpointError: If only arbitrary unpickling could read it.
        RuntimeError: If the file is empty, damaged, or no checkpoint; the message says what it is instead.
    """
    unsafe = unsafe or os.environ.get(UNSAFE_ENV) == '1'
    if hasattr(path, 'read'):
        return _read(path, f'{getattr(path, "name", "in memory")}', map_location, unsafe)
    path = Path(path).expanduser()
    path = weights_in(path) or path
    if path.name.endswith(INDEX) and path.is_file():
        return read_shards(path, lambda file: load_checkpoint_file(file, map_location, unsafe))
    if not path.is_file():
        raise FileNotFoundError(f'There is no checkpoint file {path}.' + (_files_in(path) if path.is_dir() else ''))
    size = path.stat().st_size
    if size == 0:
        raise RuntimeError(f'The checkpoint {path} is empty (0 bytes): copy or download it again.')
    if (kind := what_it_is(path)) is not None:
        raise RuntimeError(f'The checkpoint {path} ({size} bytes) is {kind}.')
    return _read(path, f'{path} ({size} bytes)', map_location, unsafe)


def _files_in(folder: Path) -> str:
    found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    text = ' It is a folder: name the file in it'
    return f'{text}, such as {found[0]}.' if found else f'{text}.'


def _read(file: Path | BinaryIO, name: str, map_location: Any, unsafe: bool) -> Any:
    try:
        if isinstance(file, Path) and is_safetensors(file):
            from safetensors.torch import load_file
            state = load_file(str(file))
            return state if map_location == 'cpu' else {key: value.to(map_location) for key, value in state.items()}
        if isinstance(file, Path) and file.suffix == '.safetensors':  # it is none, but torch.load goes by the name
            with open(file, 'rb') as opened:
                return _read(opened, name, map_location, unsafe)
        if unsafe:
            return torch.load(file, map_location=map_location, weights_only=False)
        return _load_safely(file, name, map_location)
    except (UnsafeCheckpointError, torch.cuda.OutOfMemoryError):
        raise
    except Exception as error:
        raise RuntimeError(f'The checkpoint {name} could not be read: it is damaged, cut off, or no checkpoint. Copy '
                           f'or download it again. ({type(error).__name__}: {error})') from error


def register_safe_globals() -> None:
    """Let `weights_only=True` read what MMEngine saves, and let MMEngine read files the way this module does."""
    if hasattr(torch.serialization, 'add_safe_globals'):  # torch >= 2.4
        types = _mmengine_types()
        try:
            torch.serialization.add_safe_globals([(value, name) for name, value in types.items()])
        except TypeError:  # torch 2.4 takes no names
            torch.serialization.add_safe_globals(list(types.values()))
    from mmengine.runner.checkpoint import CheckpointLoader

    # The empty prefix is MMEngine's scheme for local paths: `load_from`, `--resume`, `init_cfg` and inferencers use it.
    CheckpointLoader.register_scheme(prefixes='', loader=_load_from_local, force=True)
    CheckpointLoader.register_scheme(
        prefixes=('timm://', 'hf-hub:', 'hf_hub:', 'http://', 'https://'), loader=_load_from_afar, force=True)


def _load_from_local(filename: str, map_location: Any = None) -> Any:
    return load_checkpoint_file(filename, map_location=map_location)


def _load_from_afar(filename: str, map_location: Any = None) -> Any:
    from leopart_mm.checkpoints.sources import read_checkpoint  # imports timm
    return read_checkpoint(filename)


def _load_safely(file: Path | BinaryIO, name: str, map_location: Any) -> Any:
    start = None if isinstance(file, Path) else file.tell()
    try:
        return torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError:
        if start is not None:
            file.seek(start)
    try:
        return torch.load(file, map_location=map_location, weights_only=False, pickle_module=_restricted_pickle())
    except UnsafeCheckpointError as error:
        raise UnsafeCheckpointError(
            f'The checkpoint {name} needs unsafe unpickling: it names "{error}", which is neither a tensor nor a plain '
            'value, and reading it could run any code in the file. If you trust where the file comes from, load it '
            f'once with {UNSAFE_ENV}=1 set (or load_checkpoint_file(path, unsafe=True)) and save its state_dict '
            'again.') from None


def _mmengine_types() -> dict[str, Any]:
    """Classes and functions that a checkpoint of MMEngine names, by their pickled name."""
    from mmengine.logging.history_buffer import HistoryBuffer
    multiarray = np._core.multiarray if hasattr(np, '_core') else np.core.multiarray
    types = {
        'builtins.getattr': _history_buffer_method,
        'mmengine.logging.history_buffer.HistoryBuffer': HistoryBuffer,
        'numpy._core.multiarray._reconstruct': multiarray._reconstruct,
        'numpy._core.multiarray.scalar': multiarray.scalar,
        'numpy.ndarray': np.ndarray,
        'numpy.dtype': np.dtype,
    }
    for name in dir(getattr(np, 'dtypes', None)):
        dtype = getattr(np.dtypes, name)
        if isinstance(dtype, type):
            types[f'numpy.dtypes.{name}'] = dtype
    return types


def _history_buffer_method(owner: type, name: str) -> Any:
    """The one use of `getattr` in MMEngine's checkpoints: the statistics methods of a HistoryBuffer."""
    from mmengine.logging.history_buffer import HistoryBuffer
    if owner is HistoryBuffer and name in ('min', 'max', 'current', 'mean'):
        return getattr(HistoryBuffer, name)
    raise UnsafeCheckpointError(f'getattr({owner!r}, {name!r})')


def _plain_types() -> dict[str, Any]:
    """Every global that the restricted unpickler hands out; none of them can run foreign code."""
    types = _mmengine_types()
    types['numpy.core.multiarray._reconstruct'] = types['numpy._core.multiarray._reconstruct']
    types['numpy.core.multiarray.scalar'] = types['numpy._core.multiarray.scalar']
    types['__builtin__.getattr'] = _history_buffer_method
    for builtin in (set, frozenset, dict, list, tuple, int, float, bool, str, bytes, bytearray, complex, slice, range,
                    object):
        types[f'builtins.{builtin.__name__}'] = builtin
        types[f'__builtin__.{builtin.__name__}'] = builtin
    # torch.save writes Python 2's names of these, as types of values in omegaconf's objects for example.
    types.update({'__builtin__.long': int, '__builtin__.unicode': str, '__builtin__.xrange': range})
    for container in (OrderedDict, Counter, defaultdict):
        types[f'collections.{container.__name__}'] = container
    for name in ('_rebuild_tensor', '_rebuild_tensor_v2', '_rebuild_parameter', '_rebuild_parameter_with_state',
                 '_rebuild_sparse_tensor'):
        if hasattr(torch._utils, name):
            types[f'torch._utils.{name}'] = getattr(torch._utils, name)
    types['torch._tensor._rebuild_from_type_v2'] = torch._tensor._rebuild_from_type_v2
    types['torch.nn.parameter.Parameter'] = torch.nn.Parameter
    for name in ('Tensor', 'Size', 'device', 'Generator'):
        types[f'torch.{name}'] = getattr(torch, name)
    for name, value in vars(torch).items():
        if isinstance(value, torch.dtype) or (isinstance(value, type) and name.endswith('Storage')):
            types[f'torch.{name}'] = value
    for name in ('UntypedStorage', 'TypedStorage', '_load_from_bytes'):
        if hasattr(torch.storage, name) and name != '_load_from_bytes':  # that one unpickles without restriction
            types[f'torch.storage.{name}'] = getattr(torch.storage, name)
    types['copyreg._reconstructor'] = _reconstruct_inert
    types['_codecs.encode'] = _encode
    return types


def _reconstruct_inert(cls: type, base: type, state: Any) -> Any:
    if cls in (Inert, object):
        return Inert()
    raise UnsafeCheckpointError(f'copyreg._reconstructor({cls.__name__})')


def _encode(text: str, encoding: str = 'latin1') -> bytes:
    return text.encode(encoding)  # how Python 2 era pickles write bytes


class _RestrictedUnpickler(pickle.Unpickler):
    """Hands out plain types, inert stand-ins for framework classes, and refuses the rest."""

    plain_types: dict[str, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        full_name = f'{module}.{name}'
        if full_name in self.plain_types:
            return self.plain_types[full_name]
        if module.split('.')[0] in INERT_PACKAGES:
            return Inert
        raise UnsafeCheckpointError(full_name)


def _restricted_pickle() -> SimpleNamespace:
    """A stand-in for the `pickle` module, as `torch.load(pickle_module=...)` needs it."""

    class Unpickler(_RestrictedUnpickler):
        plain_types = _plain_types()

    def load(file: io.BufferedIOBase, **kwargs: Any) -> Any:
        return Unpickler(file, **kwargs).load()

    return SimpleNamespace(__name__='leopart_mm_restricted_pickle', Unpickler=Unpickler, load=load,
                           loads=lambda data, **kwargs: load(io.BytesIO(data), **kwargs))

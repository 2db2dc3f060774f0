"""Fingerprints of settings, checkpoints and data, by which a run knows whether an earlier one was the same."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from leopart_mm.weight_folder import weight_files, weights_in

CHUNK = 2**20


def text_fingerprint(text: str) -> str:
    """Of a text, such as a config."""
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def text_without_paths(text: str, paths: Iterable[str | None]) -> str:
    """A config as text, in which files and folders whose content is fingerprinted have no place.

    >>> text_without_paths("load_from = '/tmp/a.pth'", ['/tmp/a.pth', None])
    "load_from = '...'"
    """
    for path in paths:
        if path:
            text = text.replace(repr(str(path)), "'...'")
    return text


def file_fingerprint(path: str | os.PathLike) -> str:
    """Of the content of a file, wherever it lies: for checkpoints and other single files.

    A folder of weights, or an index of shards, counts as its files of weights, see `weight_folder`.

    Raises:
        OSError: If it cannot be read.
    """
    files = weight_files(Path(path))
    if len(files) > 1:
        return files_fingerprint(files)
    path = files[0]
    digest = hashlib.blake2b(digest_size=12)
    with open(path, 'rb') as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def array_fingerprint(array: np.ndarray) -> str:
    """Of the numbers of an array, their type and shape."""
    digest = hashlib.blake2b(f'{array.dtype}{array.shape}'.encode(), digest_size=12)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def files_fingerprint(paths: Iterable[str | os.PathLike]) -> str:
    """Of many files: their names below their common folder and their content, in order.

    The data of a run. A folder that was copied or moved is the same data; a file that was exchanged in place is not,
    whatever its time and size. Each file is read once, which takes a second per few hundred MB.

    Raises:
        FileNotFoundError: If one does not exist.
    """
    paths = [os.path.abspath(path) for path in paths]
    root = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ''
    rows, contents = [], {}
    for path in paths:
        if path not in contents:
            contents[path] = file_fingerprint(path)
        rows.append([os.path.relpath(path, root), contents[path]])
    return text_fingerprint(json.dumps(rows))


def settings_fingerprint(settings: Any, paths: Iterable[str | None] = ()) -> str:
    """Of nested settings, in which a file counts by its content, wherever it lies (weights, naming files).

    Args:
        settings: Dicts and lists of plain values, such as a part of a config.
        paths: Files and folders that do not count here.
    """
    left_out = {str(path) for path in paths if path}

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in sorted(value.items(), key=lambda pair: str(pair[0]))}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, str | os.PathLike):
            value = str(value)
            if value in left_out:
                return '...'
            file = os.path.expanduser(value)
            is_weights = os.path.isfile(file) or weights_in(Path(file)) is not None
            return dict(content=file_fingerprint(file)) if is_weights else value
        return value

    return text_fingerprint(json.dumps(plain(settings), default=repr))


def dataset_files(dataset: Any) -> list[str]:
    """Images and label maps of a data set in MMEngine's sense, in order."""
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return [info[key] for info in infos for key in ('img_path', 'seg_map_path') if info.get(key)]

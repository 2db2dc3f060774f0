"""Files that are written whole or not at all, and lists in messages."""

import errno
import hashlib
import io
import json
import os
import shutil
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

TEMPORARY_SUFFIX = '.tmp'
MAX_NAME = 255  # bytes


@contextmanager
def write_whole(path: str | os.PathLike, flush: bool = False) -> Iterator[Path]:
    """Write a file in one step: a reader, or a later run, sees the old file or the whole new one, never half of it.

    The block writes to the path that it gets, a hidden file beside `path` which is renamed at the end, or removed
    where the block fails. The folder is made if it does not exist.

        with write_whole('out/table.bin') as temporary:
            temporary.write_bytes(data)

    Args:
        path: The file.
        flush: Wait until the data are on the disk before renaming, so that the file also survives a power cut.

    Raises:
        OSError: If the file cannot be written; the message names `path`, the cause and, where the disk is full, how
            much is free.
    """
    path = Path(path)
    temporary = temporary_path(path)
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            if flush:
                with open(temporary, 'rb+') as file:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except (OSError, RuntimeError) as error:
            cause = _cause(error, {str(temporary), str(path), str(path.parent)})
            if cause is None:
                raise
            raise OSError(cause.errno, f'{printable(path)} cannot be written: {cause.strerror}{_space(cause, path)}'
                          ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def temporary_path(path: str | os.PathLike) -> Path:
    """A hidden name beside `path` that no other process takes, however long the name of `path` is."""
    path = Path(path)
    return path.with_name(f'.{path.name[:40]}.{os.getpid()}-{os.urandom(4).hex()}{TEMPORARY_SUFFIX}')


def remove_temporary(folder: str | os.PathLike, recursive: bool = False) -> None:
    """Remove what killed runs left half-written in `folder`; only while nobody else writes there."""
    pattern = f'.*-*{TEMPORARY_SUFFIX}'
    for leftover in list(Path(folder).rglob(pattern) if recursive else Path(folder).glob(pattern)):
        leftover.unlink(missing_ok=True)


def _cause(error: BaseException, paths: Collection[str]) -> OSError | None:
    """The OSError behind an error while writing, unless it is about another file than `paths`.

    torch.save hides it in a RuntimeError ('unexpected pos ...').
    """
    seen = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno is not None:
            about_us = seen.filename is None or os.fsdecode(seen.filename) in paths
            return seen if about_us else None
        seen = seen.__cause__ or seen.__context__
    return None


def _space(error: OSError, path: Path) -> str:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ''
    return f' ({shutil.disk_usage(path.parent).free / 2**20:.0f} MiB are free there)'


def write_bytes_whole(path: str | os.PathLike, data: bytes | memoryview) -> None:
    """Write bytes; see `write_whole`."""
    with write_whole(path) as temporary:
        temporary.write_bytes(data)


def write_text_whole(path: str | os.PathLike, text: str) -> None:
    """Write text as UTF-8; see `write_whole`. Bytes of file names that are no UTF-8 are written as they were read."""
    write_bytes_whole(path, text.encode('utf-8', 'surrogateescape'))


def write_image_whole(path: str | os.PathLike, image: np.ndarray, quality: int = 95) -> None:
    """Write a picture or a label map in the format of the suffix; see `write_whole`. Any file name will do.

    Args:
        path: The file.
        image: (H, W) grey or labels, uint8 or uint16; or (H, W, 3) uint8 RGB.
        quality: Quality of JPEG, 0..100.

    Raises:
        ValueError: If the format cannot hold the array, or the suffix is of no known format.
        OSError: If the file cannot be written.
    """
    write_bytes_whole(path, encode_image(image, Path(path).suffix, quality))


def write_palette_whole(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Write a picture (H, W, 3) uint8 RGB as a PNG of 256 dithered colours, a third of the size; see `write_whole`.

    A picture that has no more colours keeps them.

    Raises:
        OSError: If the file cannot be written.
    """
    from PIL import Image
    image = Image.fromarray(picture)
    if image.getcolors(256) is not None:
        write_image_whole(path, picture)
        return
    palette = image.quantize(256, method=Image.Quantize.FASTOCTREE)  # median cut mixes the colours of clusters
    with io.BytesIO() as file:
        image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(file, 'PNG', optimize=True)
        write_bytes_whole(path, file.getvalue())


def encode_image(image: np.ndarray, suffix: str = '.png', quality: int = 95) -> bytes:
    """The content of a picture file; see `write_image_whole`.

    Raises:
        ValueError: If the format cannot hold the array, or the suffix is of no known format.
    """
    image = np.asarray(image)
    jpeg = suffix.lower() in ('.jpg', '.jpeg')
    try:
        # encode to memory: cv2.imwrite knows neither all names nor why it fails
        done, data = cv2.imencode(suffix, image[..., ::-1] if image.ndim == 3 else image,
                                  [cv2.IMWRITE_JPEG_QUALITY, quality] if jpeg else [])
    except (cv2.error, TypeError):
        done = False
    if not done:
        raise ValueError(f'An array of shape {image.shape} and type {image.dtype} cannot be written as {suffix!r}: '
                         'give (H, W) or (H, W, 3), uint8, and .png or .jpg.')
    return data.tobytes()


def save_torch_whole(content: Any, path: str | os.PathLike, flush: bool = False) -> None:
    """Save by `torch.save`; see `write_whole`."""
    import torch
    with write_whole(path, flush) as temporary, open(temporary, 'wb') as file:
        torch.save(content, file)  # given a file, not a name: only so does torch name the cause of a failure


def safetensors_bytes(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """The content of a safetensors file with metadata: the same bytes for the same content.

    The library writes several metadata in the random order of a hash table, so that two runs' files would differ.

    Args:
        tensors: Arrays by name.
        metadata: Texts by name; they are written in the order of their names.
    """
    from safetensors.numpy import save
    content = save(dict(tensors), dict(metadata))
    start = 8 + int.from_bytes(content[:8], 'little')
    header = json.loads(content[8:start])
    header['__metadata__'] = dict(sorted(metadata.items()))
    text = json.dumps(header, ensure_ascii=False, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)  # the arrays stay aligned
    return len(text).to_bytes(8, 'little') + text + content[start:]


def shorten(items: Iterable[Any], limit: int = 5) -> str:
    """The first items of a collection, for messages.

    >>> shorten(['a', 'b', 'c'], limit=2)
    'a, b, ...'
    """
    first = list(islice(items, limit + 1))
    return ', '.join(map(str, first[:limit])) + (', ...' if len(first) > limit else '')


def printable(text: str | os.PathLike) -> str:
    r"""A path that can be printed and logged: bytes that are no UTF-8 as \xNN, line breaks and the like as \n.

    >>> printable('caf\udce9.jpg'), printable('two\nlines.jpg')
    ('caf\\xe9.jpg', 'two\\nlines.jpg')
    """
    shown = os.fspath(text).encode('utf-8', 'surrogateescape').decode('utf-8', 'backslashreplace')
    return ''.join(repr(letter)[1:-1] if unicodedata.category(letter) in ('Cc', 'Zl', 'Zp') else letter
                   for letter in shown)


def fitting_name(name: str, ending: int = 5) -> str:
    """A name of a file without its ending, cut where a file system would refuse it (255 bytes); cut ones stay unique.

    Args:
        name: The name, also with folders in front (``a/b``).
        ending: Length of the endings that are put behind it.
    """
    folder, _, last = name.rpartition('/')
    raw = os.fsencode(last)
    if len(raw) + ending <= MAX_NAME:
        return name
    digest = hashlib.blake2b(raw, digest_size=6).hexdigest()
    kept = raw[:MAX_NAME - ending - len(digest) - 1].decode('utf-8', 'ignore') + '_' + digest
    return f'{folder}/{kept}' if folder else kept

"""Shared steps of the data set converters in tools/dataset_converters."""

import filecmp
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from leopart_mm.files import write_text_whole, write_whole
from leopart_mm.progress import progress

RECORD = '.leopart_mm-conversion.json'


class ConversionError(RuntimeError):
    """Part of the original data is missing or is not what its name says."""


def require(path: str | Path, what: str, where_from: str) -> Path:
    """The path, if it exists.

    Raises:
        ConversionError: If it does not exist; the message says what it should be and where it comes from.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise ConversionError(f'{what} is missing: {path} does not exist. {where_from}')
    return path


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write a label map (h, w) uint8 as PNG; a reader or a later run never sees half a file."""
    with write_whole(path) as temporary:
        Image.fromarray(mask).save(temporary, format='PNG')


def read_png(path: Path) -> np.ndarray:
    """A PNG as it is stored: (h, w) values or palette indices, or (h, w, 3).

    Raises:
        ConversionError: If it is missing or damaged.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError on broken PNGs
        raise ConversionError(f'{path} cannot be read ({error}). Fetch it again.') from error


def convert_masks(targets: dict[Path, object], convert: Callable[[object], np.ndarray], phase: str,
                  workers: int = 4) -> int:
    """Write ``convert(source)`` to every target that does not exist or is older than its source.

    An interrupted run resumes. For outputs of other settings see `begin_conversion`.

    Args:
        targets: Output file -> argument of `convert`: a source file, or a tuple that begins with one.
        convert: Returns the label map (h, w) uint8.
        phase: Name on the progress bar.
        workers: Number of threads (PNG coding and NumPy release Python's lock).

    Returns:
        Number of files written.

    Raises:
        ConversionError: If a target is its own source.
    """
    todo = {target: source for target, source in targets.items() if not _is_current(target, source)}
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:

        def convert_item(item: tuple[Path, object]) -> None:
            write_mask(item[0], convert(item[1]))

        for _ in progress(_in_batches(pool, convert_item, list(todo.items())), phase, len(todo)):
            pass
    return len(todo)


def _is_current(target: Path, source: object) -> bool:
    path = source[0] if isinstance(source, tuple) else source
    if not (target.is_file() and Path(path).is_file()):
        return False  # the conversion says what is missing
    if os.path.samefile(target, path):
        raise ConversionError(f'{path} would be replaced by its own conversion: choose another folder to write to.')
    # the time of the last change of a file also moves where an older file took its name
    made, changed = target.stat(), Path(path).stat()
    return max(changed.st_mtime_ns, changed.st_ctime_ns) <= made.st_mtime_ns


def begin_conversion(folder: Path, settings: str, outputs: Iterable[Path]) -> None:
    """Remove outputs in `folder` that were made with other settings, and note the settings of this run.

    A kill at any time leaves outputs of one kind only. Outputs of which nothing is noted stay.

    Args:
        folder: Folder of the outputs.
        settings: All that decides the outputs beside their sources.
        outputs: Files that depend on the settings.
    """
    record = folder / RECORD
    settings = hashlib.blake2b(settings.encode(), digest_size=12).hexdigest()
    if record.is_file() and record.read_text(encoding='utf-8') != settings:
        for output in outputs:
            output.unlink(missing_ok=True)
    write_text_whole(record, settings)


def name_targets(sources: Iterable[Path], target_of: Callable[[Path], Path]) -> dict[Path, Path]:
    """Target -> source.

    Raises:
        ConversionError: If two sources have the same target, such as ``1.png`` and ``1.bmp``.
    """
    targets: dict[Path, Path] = {}
    for source in sources:
        other = targets.setdefault(target_of(source), source)
        if other is not source:
            raise ConversionError(f'{other} and {source} would both become {target_of(source)}: rename one of them.')
    return targets


def _in_batches(pool: ThreadPoolExecutor, function: Callable, items: list, size: int = 256) -> Iterable[None]:
    """As ``pool.map``, but an error stops the run soon rather than after all items."""
    for start in range(0, len(items), size):
        yield from pool.map(function, items[start:start + size])


def link_or_copy(source: Path, target: Path) -> None:
    """Hard link where the file system can (no space needed), else copy; nothing if the target has this content."""
    if target.exists() and filecmp.cmp(source, target, shallow=False):
        return
    with write_whole(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)

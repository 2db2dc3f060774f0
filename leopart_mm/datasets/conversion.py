"""Shared steps of the data set converters in tools/dataset_converters."""

import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from leopart_mm.files import write_whole
from leopart_mm.progress import progress


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
    """Write ``convert(source)`` to every target that does not exist yet; an interrupted run resumes.

    Args:
        targets: Output file -> argument of `convert`.
        convert: Returns the label map (h, w) uint8.
        phase: Name on the progress bar.
        workers: Number of threads (PNG coding and NumPy release Python's lock).

    Returns:
        Number of files written.
    """
    todo = {target: source for target, source in targets.items() if not target.is_file()}
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:

        def convert_item(item: tuple[Path, object]) -> None:
            write_mask(item[0], convert(item[1]))

        for _ in progress(_in_batches(pool, convert_item, list(todo.items())), phase, len(todo)):
            pass
    return len(todo)


def _in_batches(pool: ThreadPoolExecutor, function: Callable, items: list, size: int = 256) -> Iterable[None]:
    """As ``pool.map``, but an error stops the run soon rather than after all items."""
    for start in range(0, len(items), size):
        yield from pool.map(function, items[start:start + size])


def link_or_copy(source: Path, target: Path) -> None:
    """Hard link where the file system can (no space needed), else copy; nothing if the target exists."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        with write_whole(target) as temporary:
            shutil.copyfile(source, temporary)

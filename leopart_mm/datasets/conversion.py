"""What the data set converters in tools/dataset_converters share."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from leopart_mm.progress import progress


class ConversionError(RuntimeError):
    """Part of the original data is missing or is not what its name says."""


def require(path: str | Path, what: str, where_from: str) -> Path:
    """The path, if it exists.

    Raises:
        ConversionError: It does not; the message says what it should be and where it comes from.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise ConversionError(f'{what} is missing: {path} does not exist. {where_from}')
    return path


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write a label map (h, w) uint8 as PNG; a reader or a later run never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    Image.fromarray(mask).save(temporary, format='PNG')
    os.replace(temporary, path)


def read_png(path: Path) -> np.ndarray:
    """A PNG as it is stored: (h, w) values or palette indices, or (h, w, 3).

    Raises:
        ConversionError: It is missing or damaged.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError on broken PNGs
        raise ConversionError(f'{path} cannot be read ({error}). Fetch it again.') from error


def convert_masks(targets: dict[Path, object], convert: Callable[[object], np.ndarray], phase: str,
                  workers: int = 4) -> int:
    """Write ``convert(source)`` to every target that is not there yet; a stopped run goes on where it was.

    Args:
        targets: Output file -> what `convert` gets.
        convert: Gives the label map (h, w) uint8.
        phase: Name on the progress bar.
        workers: Threads (PNG coding and NumPy release Python's lock).

    Returns:
        How many were written.
    """
    todo = {target: source for target, source in targets.items() if not target.is_file()}
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:

        def one(item: tuple[Path, object]) -> None:
            write_mask(item[0], convert(item[1]))

        for _ in progress(_in_batches(pool, one, list(todo.items())), phase, len(todo)):
            pass
    return len(todo)


def _in_batches(pool: ThreadPoolExecutor, function: Callable, items: list, size: int = 256) -> Iterable[None]:
    """As ``pool.map``, but an error stops the run soon rather than after all items."""
    for start in range(0, len(items), size):
        yield from pool.map(function, items[start:start + size])


def link_or_copy(source: Path, target: Path) -> None:
    """Hard link where the file system can (no space needed), else copy; nothing if it is there."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        import shutil
        temporary = target.with_name(f'.{target.name}.tmp')
        shutil.copyfile(source, temporary)
        os.replace(temporary, target)

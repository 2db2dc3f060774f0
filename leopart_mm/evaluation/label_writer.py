"""Writing predicted label maps as PNG files named after the images."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np


def unique_names(paths: Sequence[str]) -> list[str]:
    """A file stem for each path: its own stem, with as many folders in front as tell it from the others.

    'a/1.jpg', 'b/1.jpg', 'b/2.jpg' give 'a_1', 'b_1', '2'. Different images in one folder that differ by suffix only
    keep it: '1_jpg', '1_png'.
    """
    names: dict[str, str] = {}
    pending = list(dict.fromkeys(paths))
    deepest = max((len(Path(path).parts) for path in pending), default=0)
    for depth in range(1, deepest + 1):
        candidates = {path: _stem(path, depth) for path in pending}
        counts = Counter([*candidates.values(), *names.values()])
        names.update({path: name for path, name in candidates.items() if counts[name] == 1})
        pending = [path for path in pending if path not in names]
    names.update({path: f'{_stem(path, deepest)}_{Path(path).suffix[1:]}' for path in pending})
    return [names[path] for path in paths]


def _stem(path: str, depth: int) -> str:
    parts = Path(path).with_suffix('').parts[-depth:]
    return '_'.join(part.strip('/\\') for part in parts).strip('_')


def write_labels(path: str | os.PathLike, labels: np.ndarray, num_labels: int) -> None:
    """Write a label map (H, W) as PNG, 8-bit for up to 256 labels, else 16-bit.

    Raises:
        ValueError: A label is not in 0..num_labels-1, or there are more than 65536.
        OSError: The file could not be written.
    """
    labels = np.asarray(labels)
    if num_labels > 2**16:
        raise ValueError(f'{num_labels} labels do not fit in a 16-bit PNG.')
    if labels.size and not 0 <= labels.min() <= labels.max() < num_labels:
        raise ValueError(f'Labels reach from {labels.min()} to {labels.max()}, but only 0..{num_labels - 1} exist.')
    if not cv2.imwrite(os.fspath(path), labels.astype(np.uint8 if num_labels <= 256 else np.uint16)):
        raise OSError(f'The label map {path} could not be written: is the folder there, is the disk full?')


def read_labels(path: str | os.PathLike) -> np.ndarray:
    """A label map that `write_labels` wrote, (H, W) int64."""
    labels = cv2.imread(os.fspath(path), cv2.IMREAD_UNCHANGED)
    if labels is None:
        raise OSError(f'The label map {path} could not be read.')
    return labels.astype(np.int64)


class LabelMapWriter:
    """Collects label maps during a run, and gives them their final names when all images are known.

    Until `finish` they lie under hidden names, so that images of one name in different folders, also on different
    processes, never overwrite each other.

    Args:
        folder: Made if it is not there.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.paths: list[str] = []

    def add(self, image_path: str, labels: np.ndarray, num_labels: int) -> None:
        """Write the map (H, W) of an image."""
        write_labels(self._hidden(image_path), labels, num_labels)
        self.paths.append(image_path)

    def _hidden(self, image_path: str) -> Path:
        return self.folder / f'.{hashlib.blake2b(image_path.encode(), digest_size=12).hexdigest()}.png'

    def finish(self, paths: Sequence[str] | None = None) -> dict[str, Path]:
        """Rename the maps of `paths` (all processes' images; None: this one's) and return image path -> file."""
        paths = sorted(set(self.paths if paths is None else paths))
        files = {path: self.folder / f'{name}.png' for path, name in zip(paths, unique_names(paths), strict=True)}
        for path, file in files.items():
            os.replace(self._hidden(path), file)
        self.paths = []
        return files

"""What the outputs for an image are called: its name below the folder of all images."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leopart_mm.files import fitting_name


def image_names(images: Sequence[str | np.ndarray], root: str | None) -> list[str]:
    """Unique names of images: without suffix where that is unique, else with it behind _, else the whole file name.

    Args:
        images: Files, and arrays, which are numbered.
        root: Folder that names are relative to; None: the deepest one above all files.
    """
    paths = [os.path.abspath(image) for image in images if isinstance(image, str)]
    if root is None and paths:
        root = os.path.commonpath([os.path.dirname(path) for path in paths])
    choices = {image: _choices(image, root) for image in images if isinstance(image, str)}
    levels = dict.fromkeys(choices, 0)
    arrays = [f'image_{number}' for number, image in enumerate(images) if isinstance(image, np.ndarray)]
    while True:
        counts = Counter([*arrays, *(choice[levels[image]] for image, choice in choices.items())])
        # All that share a name take the next longer one; a name taken so may be another file's, hence again.
        shared = [image for image, choice in choices.items()
                  if counts[choice[levels[image]]] > 1 and levels[image] + 1 < len(choice)]
        if not shared:
            break
        for image in shared:
            levels[image] += 1
    names, times = [], Counter()
    for number, image in enumerate(images):
        name = f'image_{number}' if isinstance(image, np.ndarray) else choices[image][levels[image]]
        name = fitting_name(name, 4)
        times[name] += 1
        names.append(name if times[name] == 1 else f'{name}_{times[name]}')  # an image that is listed twice
    return names


def _choices(image: str, root: str) -> list[str]:
    path = Path(os.path.relpath(os.path.abspath(image), os.path.abspath(root)))
    stem = path.with_suffix('').as_posix()
    return [stem, f'{stem}_{path.suffix[1:]}', path.as_posix()]

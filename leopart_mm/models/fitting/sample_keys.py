"""Keys of images that stay the same wherever the data set lies."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def common_folder(paths: Sequence[str | os.PathLike]) -> str:
    """The deepest folder that holds all files, absolute and without `..`.

    Raises:
        ValueError: If the files lie on several drives (Windows).

    >>> common_folder(['/data/voc/a/1.jpg', '/data/voc/b/../b/2.jpg'])
    '/data/voc'
    """
    return os.path.commonpath({os.path.dirname(os.path.abspath(path)) for path in paths})


class SampleKeys:
    """Maps the path of an image to a key by which random choices are drawn.

    The key is the path relative to the deepest folder that holds all images of the data set. It is the same for an
    absolute path, a relative path, a path with `..`, and a copy of the data set in another folder. A data set joined of
    several (``ConcatDataset``) has a folder per part; the key then begins with the number of the part's folder.

    Args:
        dataset: A data set with ``get_data_info`` (as in MMEngine), or a wrapper of such (``ConcatDataset``,
            ``RepeatDataset``, ``Subset``). Of any other data set the keys are the names unchanged.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self._folders: list[str] | None = None

    def __call__(self, name: str) -> str:
        """Key of the image `name`; a name that is no path below a folder of the data set is returned unchanged."""
        if self._folders is None:
            self._folders = list(dict.fromkeys(_folders(self._dataset)))
        path = os.path.abspath(name)
        holding = [folder for folder in self._folders if path.startswith(os.path.join(folder, ''))]
        if not holding:
            return name
        folder = max(holding, key=len)
        key = Path(path).relative_to(folder).as_posix()
        return key if len(self._folders) == 1 else f'{self._folders.index(folder)}/{key}'


def _folders(dataset: Any) -> Iterator[str]:
    """The image folder of every part of a data set."""
    if hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from _folders(part)
    elif hasattr(dataset, 'dataset'):
        yield from _folders(dataset.dataset)
    elif hasattr(dataset, 'get_data_info'):
        infos = (dataset.get_data_info(index) for index in range(len(dataset)))
        paths = [info['img_path'] for info in infos if info.get('img_path')]
        if paths:
            try:
                yield common_folder(paths)
            except ValueError:  # Windows, with images on several drives: they cannot move together
                return

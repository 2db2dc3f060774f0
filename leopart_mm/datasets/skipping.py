"""Skipping images that cannot be read, without silence."""

import logging
import os
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from leopart_mm.datasets.band_reading import read_bands
from leopart_mm.datasets.image_reading import ImageReadError
from leopart_mm.datasets.samplers.draw import Draw
from leopart_mm.files import printable

ON_CORRUPT = ('skip', 'raise')
STANDS_FOR = 'stands_for'  # metainfo of a data sample: the unreadable file whose place it takes


class SkipsUnreadable(BaseDataset):
    """A data set of images without labels in which the next readable image takes the place of an unreadable one.

    It is always the same one, so that runs repeat; its data sample says so, see `stands_in`, for those who must take
    each image once. Each such file is named, and counted over all workers, once.
    Subclasses set `on_corrupt`, 'skip' or 'raise', before `full_init`, and may set `verify`.
    """

    on_corrupt = 'skip'
    verify = False

    def check_options(self, data_root: str, on_corrupt: str) -> None:
        """Check what every folder of images needs, before MMEngine looks at it.

        Raises:
            ValueError: If `data_root` is missing, or `on_corrupt` unknown.
        """
        if on_corrupt not in ON_CORRUPT:
            raise ValueError(f"on_corrupt must be 'skip' or 'raise', not {on_corrupt!r}.")
        if not data_root or not isinstance(data_root, str | os.PathLike):
            raise ValueError(f'{type(self).__name__} needs data_root, the folder with the images; '
                             'give it as --cfg-options data_root=/path/to/images.')

    def existing_folder(self, name: str) -> Path:
        """The folder `name` below the data root.

        Raises:
            FileNotFoundError: If there is no such folder.
        """
        root = Path(self.data_root) / name
        if not root.is_dir():
            what = 'is a file, not a folder' if root.exists() else 'does not exist'
            raise FileNotFoundError(f'The image folder {printable(root)} {what}. '
                                    'Give the folder with your images as --cfg-options data_root=/path/to/images.')
        return root

    def full_init(self) -> None:
        """Find the images, and make sure that at least one can be read."""
        if self._fully_initialized:
            return
        super().full_init()
        # One flag per image, in shared memory: data-loader workers and the main process see the same count.
        self.corrupt = torch.zeros(len(self), dtype=torch.uint8).share_memory_()
        if self.on_corrupt == 'raise' and not self.verify:
            return
        for index in range(len(self)):
            if self._readable(index) and not self.verify:
                break
        if self.num_corrupt == len(self):
            raise ValueError(f'None of the {len(self)} images in {printable(self.data_root)} can be read; the first is '
                             f'{printable(self.get_data_info(0)["img_path"])}. Are they complete?')

    def __getitem__(self, idx: int) -> Any:
        """The sample at `idx`, or the next one that can be read."""
        self.full_init()
        if self.on_corrupt == 'raise':
            return super().__getitem__(idx)
        for step in range(len(self)):
            index = (int(idx) + step) % len(self)
            if self.corrupt[index]:
                continue
            try:
                data = self.prepare_data(idx.at(index) if isinstance(idx, Draw) else index)
            except ImageReadError as error:
                self._mark_corrupt(index, error)
                continue
            if data is not None:
                if step:
                    _note_stand_in(data, self.get_data_info(int(idx))['img_path'])
                return data
            self._mark_corrupt(index, ImageReadError(self.get_data_info(index)['img_path'],
                                                     'the pipeline returned nothing for it'))
        raise ValueError(f'None of the {len(self)} images in {printable(self.data_root)} can be read any more.')

    @property
    def num_corrupt(self) -> int:
        """Number of files that could not be read so far, by all workers together."""
        return int(self.corrupt.sum())

    def _readable(self, index: int) -> bool:
        try:
            bands = next((step.bands for step in self.pipeline.transforms if hasattr(step, 'bands')), 3)  # of LoadImage
            read_bands(self.get_data_info(index)['img_path'], bands)
        except ImageReadError as error:
            self._mark_corrupt(index, error)
            return False
        return True

    def _mark_corrupt(self, index: int, error: ImageReadError) -> None:
        if self.on_corrupt == 'raise':
            raise error
        self.corrupt[index] = 1
        print_log(f'{error} It is skipped ({self.num_corrupt} of {len(self)} files so far); '
                  "on_corrupt='raise' would stop here.", logger='current', level=logging.WARNING)


def _note_stand_in(data: Any, path: str) -> None:
    sample = data.get('data_samples') if isinstance(data, dict) else None
    if hasattr(sample, 'set_metainfo'):
        sample.set_metainfo({STANDS_FOR: path})


def stands_in(sample: Any) -> bool:
    """Whether a data sample is of an image that took the place of an unreadable one, and so comes twice."""
    return STANDS_FOR in getattr(sample, 'metainfo', ())


def without_stand_ins(data: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """A batch of lists without the images that come twice, see `stands_in`, and the positions of those that stay."""
    samples = data.get('data_samples') or ()
    kept = [index for index, sample in enumerate(samples) if not stands_in(sample)]
    if len(kept) == len(samples):
        return data, list(range(len(data['inputs'])))
    return {key: [values[index] for index in kept] for key, values in data.items()}, kept

"""The images of a data set as a network for proposals sees them: the geometry of a test pipeline, nothing random."""

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor
from torch.utils.data import Dataset

from leopart_mm.apis.image_inputs import ImageList, named_images
from leopart_mm.datasets.image_reading import ImageReadError
from leopart_mm.datasets.readers import with_our_readers
from leopart_mm.files import printable
from leopart_mm.output_index import OutputIndex
from leopart_mm.registry import DATASETS


@dataclass
class PreparedImage:
    """An image after the pipeline, or why it could not be read.

    Args:
        index: Its position in the data set.
        source: What identifies its file, see `OutputIndex.source`.
        inputs: (C, H, W), as the pipeline packs it.
        original_size: (height, width) of the file.
        error: The file and the reason, if it could not be read.
    """

    index: int
    source: dict[str, Any]
    inputs: Tensor | None = None
    original_size: tuple[int, int] | None = None
    error: tuple[str, str] | None = None


class ProposalImages(Dataset):
    """Reads and prepares the images of a data set one by one; one that cannot be read is an entry with its reason.

    Args:
        dataset: A data set with a pipeline that packs samples, as in MMEngine's configs.
        pipeline: The config of that pipeline, for `settings`.

    Attributes:
        images: The paths, and names of the outputs: below the data root, with slashes, without suffix.

    Raises:
        ValueError: If the data set is empty, or its pipeline draws at random.
    """

    def __init__(self, dataset: Any, pipeline: Sequence[dict] = ()) -> None:
        if not hasattr(dataset, 'pipeline'):
            raise ValueError(f'proposal_dataloader takes a single data set with a pipeline, not a '
                             f'{type(dataset).__name__}.')
        self.dataset = dataset
        self.pipeline = [_plain(step) for step in pipeline]
        self.paths = [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]
        if not self.paths:
            raise ValueError('The data set of proposal_dataloader holds no image.')
        self.images: ImageList = named_images(self.paths, getattr(dataset, 'data_root', None))
        self._check_is_fixed()

    def __len__(self) -> int:
        return len(self.paths)

    def settings(self) -> dict[str, Any]:
        """How images are prepared."""
        numbers = {key: getattr(self.dataset, key, None) for key in ('value_range', 'nodata')}
        return dict(pipeline=self.pipeline, **{key: value for key, value in numbers.items() if value is not None})

    def __getitem__(self, index: int) -> PreparedImage:
        source = OutputIndex.source(self.paths[index])  # before it is read: a later change makes the output stale
        try:
            inputs, size = self.prepare(index)
        except ImageReadError as error:
            return PreparedImage(index, source, error=(error.path, error.reason))
        return PreparedImage(index, source, inputs, size)

    def prepare(self, index: int) -> tuple[Tensor, tuple[int, int]]:
        """(C, H, W) of an image after the pipeline, and (height, width) of its file.

        Raises:
            ImageReadError: If it cannot be read.
            KeyError: If the pipeline packs no image.
        """
        data = self.dataset.pipeline(self.dataset.get_data_info(index))
        if not isinstance(data, dict) or 'inputs' not in data:
            raise KeyError("The pipeline of proposal_dataloader must end by packing one image, such as "
                           "dict(type='PackSegInputs').")
        sample = data.get('data_samples')
        size = None if sample is None else sample.metainfo.get('ori_shape')
        return data['inputs'], tuple(size or data['inputs'].shape[-2:])[:2]

    def _check_is_fixed(self) -> None:
        """Refuse random transforms: a map of proposals belongs to one picture of an image."""
        found = [type(step).__name__ for step in self.dataset.pipeline.transforms if 'Random' in type(step).__name__]
        if not found:
            for index in range(len(self)):
                try:
                    first, second = (self._seeded(index, seed) for seed in (1, 2))
                except ImageReadError:
                    continue
                found = [] if torch.equal(first, second) else ['its steps']
                break
        if found:
            raise ValueError(f'The pipeline of proposal_dataloader draws at random ({", ".join(found)}). Proposals are '
                             'made of one picture per image: leave such steps out, and put them behind LoadProposals '
                             'in training.')

    def _seeded(self, index: int, seed: int) -> Tensor:
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            return self.prepare(index)[0]
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])


def build_images(config: Config, folder: str | os.PathLike | None = None) -> ProposalImages:
    """The images of a config's `proposal_dataloader`, or of a folder, prepared by the same pipeline.

    Raises:
        KeyError: If the config has no `proposal_dataloader`.
        FileNotFoundError: If the folder or its images do not exist.
    """
    if config.get('proposal_dataloader') is None:
        raise KeyError(f'{printable(str(config.filename))} has no proposal_dataloader, which says what images get '
                       'proposals and how they are prepared.')
    settings = dict(config.proposal_dataloader.dataset)
    settings['pipeline'] = _without_labels(settings.get('pipeline', ()))
    if folder is not None:
        settings = dict(type='leopart_mm.UnlabelledImages', data_root=os.fspath(folder), pipeline=settings['pipeline'])
    with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmseg')):
        return ProposalImages(DATASETS.build(settings), settings['pipeline'])


def _without_labels(pipeline: Sequence[dict]) -> list[dict]:
    """A pipeline that reads images of any kind by our reader, and no labels."""
    return [step for step in with_our_readers(pipeline)
            if str(step['type']).rpartition('.')[2] not in ('LoadAnnotations', 'LoadMask')]


def _plain(value: Any) -> Any:
    """A config as JSON holds it; who reads a step's type does not count."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if key != '_scope_'}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)

"""FeatureStream: dense features of a data set, batch by batch, as often as asked."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_dist_info
from mmengine.runner import autocast
from torch.utils.data import DataLoader

from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.sample_keys import SampleKeys
from leopart_mm.progress import progress

CACHES = (None, 'memory', 'disk')


class FeatureStream:
    """Runs the model's backbone over a data loader without gradients; every iteration is a new pass.

    Each pass is an epoch of the sampler: with `DrawSampler` random transforms draw anew in every pass, alike for any
    number of workers and processes. (Other samplers leave this to the workers, which MMEngine seeds alike every time.)
    An image that a distributed sampler repeats to fill the last round is given once only, so that sums over the
    processes are sums over the data set.

    Args:
        model: An UnsupervisedSegmentor (unwrapped).
        dataloader: Batches as for testing.
        phase: Name in the progress bar.
        cache: None reads images and runs the backbone again in every pass; 'memory' keeps the features of the first
            complete pass in main memory (they are large: 4 bytes * channels a patch), 'disk' in a temporary folder
            that goes with the stream: later stages then cost reading, and memory stays that of a batch.
        fp16: Run the backbone under autocast.

    Raises:
        ValueError: Unknown cache, or a data loader without batches.
    """

    def __init__(self, model: Any, dataloader: DataLoader, phase: str = 'Reading features', cache: str | None = None,
                 fp16: bool = False) -> None:
        if cache not in CACHES:
            raise ValueError(f"FeatureStream: cache={cache!r} is unknown; there are: None, 'memory' and 'disk'.")
        if len(dataloader) == 0:
            raise ValueError('The data loader for fitting has no batch: its data set is empty, or drop_last=True and '
                             'it is smaller than a batch.')
        self.model = model
        self.dataloader = dataloader
        self.phase = phase
        self.cache = cache
        self.fp16 = fp16
        self._kept: list[FeatureBatch] | _DiskBatches | None = None
        self._passes = 0
        self._key_of = SampleKeys(dataloader.dataset)

    def __len__(self) -> int:
        return len(self.dataloader)

    @property
    def num_images(self) -> int:
        """Images of all processes together."""
        return len(self.dataloader.dataset)

    def __iter__(self) -> Iterator[FeatureBatch]:
        self._passes += 1
        phase = self.phase if self._passes == 1 else f'{self.phase} (pass {self._passes})'
        if self._kept is not None:
            yield from progress(self._kept, phase, len(self._kept))
            return
        kept: list[FeatureBatch] | _DiskBatches = _DiskBatches() if self.cache == 'disk' else []
        for batch in progress(self._read(), phase, len(self.dataloader)):
            if self.cache is not None:
                kept.append(batch)
            yield batch
        if self.cache is not None:
            self._kept = kept

    def _read(self) -> Iterator[FeatureBatch]:
        rank, world = get_dist_info()
        if hasattr(self.dataloader.sampler, 'set_epoch'):
            self.dataloader.sampler.set_epoch(self._passes - 1)
        position, device = 0, next(self.model.backbone.parameters()).device.type
        for data in self.dataloader:
            with torch.no_grad(), autocast(device_type=device, enabled=self.fp16):
                data = self.model.data_preprocessor(data, False)
                batch = self.model.extract_batch(data['inputs'], data.get('data_samples'))
            size = len(batch)
            numbers = [rank + world * (position + index) for index in range(size)]
            batch.names = [name or f'#{number}' for name, number in zip(batch.names, numbers, strict=True)]
            batch.keys = [self._key_of(name) for name in batch.names]
            position += size
            own = sum(number < len(self.dataloader.dataset) for number in numbers)
            if own:
                yield batch if own == size else batch.head(own)


class _DiskBatches:
    """Batches as files in a folder that is deleted with this object. TMPDIR says where it lies."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix='leopart_mm_features_')
        self.files: list[Path] = []

    def append(self, batch: FeatureBatch) -> None:
        self.files.append(Path(self.folder.name) / f'{len(self.files):06d}.pt')
        torch.save(batch, self.files[-1])

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[FeatureBatch]:
        for file in self.files:
            yield torch.load(file, weights_only=False)  # written by this process

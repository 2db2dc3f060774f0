"""FeatureStream: dense features of a data set, batch by batch, any number of times, from one pass of the network."""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from mmengine.dist import get_dist_info
from mmengine.runner import autocast
from torch import Tensor
from torch.utils.data import DataLoader

from leopart_mm.datasets.samplers import DrawSampler
from leopart_mm.datasets.skipping import without_stand_ins
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.cache import ImageCache
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.feature_cache import FeatureCache, build_cache, image_digest, image_keys
from leopart_mm.models.fitting.joining import join, pick
from leopart_mm.models.fitting.networks import Network, NetworkCaches, model_key, network_fingerprint
from leopart_mm.models.fitting.packed_sample import PackedSample
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.models.fitting.sample_keys import SampleKeys
from leopart_mm.progress import progress

REDUCED = 'reduced'  # name of reduced features among what is kept


@dataclass
class _Record:
    """A batch of the first pass without its features."""

    cache_keys: list[str]
    names: list[str]
    keys: list[str]
    input_size: tuple[int, int]
    samples: list[PackedSample] | None


class FeatureStream:
    """Runs the model's backbone over a data loader without gradients, once per image, and can be read many times.

    The first pass reads the images and keeps their features; later passes, and the prediction of the same images, take
    them from the cache, with the same values. An image is known by its bytes, padding and normalisation, not by its
    name. Further networks that stages request are treated alike. What is not cached is read and computed again: where
    only the reduced features find a place, the network runs twice per image. `images`, in the sense of Requests, are
    read again, but for them the network does not run again.

    Each pass that reads images is an epoch of the sampler: with `DrawSampler` random transforms draw again in every
    pass, alike for any number of workers and processes, and nothing is cached. (Other samplers leave this to the
    workers, which MMEngine seeds alike every time.) An image that a distributed sampler repeats to fill the last round,
    or that a data set gives in the place of an unreadable one, is given once only, so that sums over the processes are
    sums over the images. Each process caches the images that it reads.

    Batches from the cache hold the map of the head's `in_index`; other maps have no channels there.

    Args:
        model: An UnsupervisedSegmentor (unwrapped); another one around the same backbone may take its place later.
        dataloader: Batches as for testing.
        phase: Name in the progress bar.
        cache: 'auto', 'device', 'memory', 'disk' or None (every pass reads and computes everything again), see
            `choose_place`; a dict of the arguments of FeatureCache; or what outlives the stream, shared by several: a
            FeatureCache (of one network), or NetworkCaches.
        fp16: Run the backbone under autocast.
        predicted: Paths of images that are predicted after fitting. Where the model reads features only once and the
            cache is not shared, only their features are kept. None: perhaps all.

    Raises:
        ValueError: If the place is unknown, or the data loader has no batch.
    """

    def __init__(self, model: Any, dataloader: DataLoader, phase: str = 'Reading features', cache: Any = 'auto',
                 fp16: bool = False, predicted: Collection[str] | None = None) -> None:
        if len(dataloader) == 0:
            raise ValueError('The data loader for fitting has no batch: its data set is empty, or drop_last=True and '
                             'it is smaller than a batch.')
        self.dataloader = dataloader
        self.phase = phase
        cache = None if _draws_in_every_pass(model, dataloader) else cache
        self.shared = isinstance(cache, FeatureCache | NetworkCaches)
        self._shares_networks = isinstance(cache, NetworkCaches)
        if self._shares_networks:
            self.networks = cache
            self.cache = cache.of(model_key(model, fp16))
        else:
            self.cache = build_cache(cache)
            self.networks = NetworkCaches(self.cache.tensors.place, self.cache.tensors.half)
        # Models that share a cache may normalise images differently.
        self._normalisation = network_fingerprint(model.data_preprocessor) if self._shares_networks else ''
        self.fp16 = fp16
        self.predicted = predicted
        self.rank, self.world = get_dist_info()
        images = -(-len(dataloader.dataset) // self.world)  # of this process
        self.cache.tensors.expect(images)
        self.networks.expect(images)
        self._computed_before = self._computed_in_all
        self._records: list[_Record] | None = None
        self._passes = 0
        self._key_of = SampleKeys(dataloader.dataset)
        self.serve(model)

    def serve(self, model: Any) -> None:
        """Read for a model that is about to be fitted: what another fit made of the features is dropped."""
        self.model = model
        self.fit_id = getattr(model, 'fit_id', None)
        if self._passes:
            self.results.close()
        self.results = ImageCache(self.cache.tensors.place, self.cache.tensors.half, self.cache.tensors.images,
                                  'reduced features and label maps')

    def __len__(self) -> int:
        return len(self.dataloader)

    @property
    def num_images(self) -> int:
        """Images of all processes together."""
        return len(self.dataloader.dataset)

    @property
    def computed(self) -> int:
        """Number of images that went through a network for this stream, repeats and other networks counted."""
        return self._computed_in_all - self._computed_before

    @property
    def _computed_in_all(self) -> int:
        return self.networks.computed + (0 if self._shares_networks else self.cache.computed)

    @property
    def in_index(self) -> int:
        """The map that the model's head reads."""
        return getattr(self._head, 'in_index', -1)

    @property
    def _head(self) -> Any:
        return getattr(self.model, 'decode_head', None)

    @property
    def _caches(self) -> bool:
        """Whether anything that this stream reads will be asked for again, and there is a place for it."""
        again = self.shared or self.predicted is None or self.predicted or self._reads_again
        # Reduced features may have a place where the maps, ten times as large, have none.
        return bool(again) and (self.cache.active or self.results.chosen is not None)

    @property
    def _reads_again(self) -> bool:
        """Whether fitting takes more than a pass: stages are fitted after the head, and some debias before it."""
        debias = getattr(self._head, 'debias', None)
        return bool(len(getattr(self.model, 'postprocessors', ()))) or getattr(debias, 'reads_features', False)

    def _requests(self) -> Requests:
        return self.model.requests(fitting=True) if hasattr(self.model, 'requests') else Requests()

    @property
    def device(self) -> torch.device:
        """That of the backbone."""
        return next(self.model.backbone.parameters()).device

    def __iter__(self) -> Iterator[FeatureBatch]:
        requests = self._requests()
        # The head needs no other network: where nothing is kept, only the stages run it.
        return self.read(requests if self._caches else replace(requests, networks=()))

    def read(self, requests: Requests, reduced: bool = False) -> Iterator[FeatureBatch]:
        """A pass over all images.

        Args:
            requests: What the batches must hold beside the map.
            reduced: Whether reduced features may stand for the map, where they are kept.
        """
        self._passes += 1
        phase = self.phase if self._passes == 1 else f'{self.phase} (pass {self._passes})'
        if self._records is not None and not requests.images and all(
                self._is_kept(key, requests, reduced) and self.networks.has(key, requests)
                for record in self._records for key in record.cache_keys):
            batches = (self._replay(record, requests, reduced) for record in self._records)
            yield from progress(batches, phase, len(self._records), time_left=True)
        else:
            yield from progress(self._load(requests, reduced), phase, len(self.dataloader), time_left=True)

    def extract(self, data: dict, requests: Requests, reduced: bool = False) -> FeatureBatch:
        """Features of a batch of a data loader, from the cache or else from the network; arguments as in `read`."""
        digests = [image_digest(image) for image in data['inputs']] if self._caches else []
        with torch.no_grad(), autocast(device_type=self.device.type, enabled=self.fp16):
            data = self.model.data_preprocessor(data, False)
            inputs, samples = data['inputs'], data.get('data_samples')
            metas = [{}] * len(inputs) if samples is None else [sample.metainfo for sample in samples]
            keys = [f'{key} {self._normalisation}' for key in image_keys(digests, inputs, metas)] if digests else []
            known = [index for index, key in enumerate(keys) if self._is_kept(key, requests, reduced)]
            unknown = sorted(set(range(len(inputs))) - set(known))
            parts = []
            if known:
                parts.append((known, self._cached([keys[index] for index in known], requests, reduced)))
            if unknown:
                parts.append((unknown, self._compute([keys[index] for index in unknown if keys], inputs[unknown],
                                                     samples and [samples[index] for index in unknown], requests)))
            batch = self._join(parts)
        return replace(batch, others=self._others(requests, keys, inputs, metas), data_samples=samples,
                       cache_keys=keys, inputs=inputs if requests.images else None,
                       names=[str(meta.get('img_path', '')) for meta in metas], input_size=tuple(inputs.shape[-2:]),
                       fit_id=self.fit_id)

    def keep(self, batch: FeatureBatch, tensors: dict[str, Tensor]) -> None:
        """Keep what the stages made of a batch, (B, ...) by name; with REDUCED among them, its maps are dropped."""
        if batch.cache_keys:
            self.results.put(batch.cache_keys, tensors)
            if REDUCED in tensors and not self.shared and self.results.chosen is not None:
                self.cache.discard_maps(batch.cache_keys, self.in_index)

    def close(self) -> None:
        """Drop what is cached and remove temporary files; a shared cache stays. Later passes compute everything."""
        self.results.close()
        if not self.shared:
            self.cache.close()
        if not self._shares_networks:
            self.networks.close()

    def _is_kept(self, key: str, requests: Requests, reduced: bool) -> bool:
        return self.cache.has(key, None if reduced and self.results.has(key, [REDUCED]) else self.in_index, requests)

    def _others(self, requests: Requests, keys: list[str], inputs: Tensor | None = None, metas: Sequence[dict] = ()
                ) -> dict[Network, DenseFeatures]:
        """Features of the further networks that are requested; without `inputs` all must be kept."""
        return {network: self.networks.extract(network, asked, keys, self.device, inputs, metas)
                for network, asked in requests.networks}

    def _cached(self, keys: list[str], requests: Requests, reduced: bool) -> FeatureBatch:
        """A batch of images that are all kept; where reduced features stand for a map, they do for the whole batch."""
        groups: dict[bool, list[int]] = {}
        for index, key in enumerate(keys):
            groups.setdefault(reduced and self.results.has(key, [REDUCED]), []).append(index)
        parts = []
        for is_reduced, members in groups.items():
            chosen = [keys[index] for index in members]
            features, extents = self.cache.get(chosen, None if is_reduced else self.in_index, requests, self.device)
            if is_reduced:
                features.reduced = self.results.stack(chosen, REDUCED, self.device)
            parts.append((members, FeatureBatch(features, None, [''] * len(chosen), extents, cache_keys=chosen)))
        return self._join(parts)

    def _join(self, parts: Sequence[tuple[list[int], FeatureBatch]]) -> FeatureBatch:
        """One batch of parts, given with the indices of their images; if one is reduced, all are."""
        if len(parts) == 1:
            return parts[0][1]
        if any(part.features.reduced is not None for _, part in parts):
            for _, part in parts:
                if part.features.reduced is None:
                    part.features.reduced = self._head.reduce(part.features.maps)
        return join(parts)

    def _compute(self, keys: list[str], inputs: Tensor, samples: Any, requests: Requests) -> FeatureBatch:
        self.cache.computed += len(inputs)
        requests = replace(self.cache.with_expected(requests) if keys else requests, networks=())
        batch = replace(self.model.extract_batch(inputs, samples, requests), cache_keys=keys)
        again = [index for index, name in enumerate(batch.names) if self._is_read_again(name)] if keys else []
        if again:
            self.cache.put(batch if len(again) == len(batch) else pick(batch, again), self.in_index, requests)
        return batch

    def _is_read_again(self, name: str) -> bool:
        """Whether the map of an image will be asked for after the first pass."""
        return (self.shared or self.predicted is None or self._reads_again
                or os.path.realpath(name) in self.predicted)

    def _load(self, requests: Requests, reduced: bool) -> Iterator[FeatureBatch]:
        """Read the images; remember the batches if the pass is complete."""
        if hasattr(self.dataloader.sampler, 'set_epoch'):
            self.dataloader.sampler.set_epoch(self._passes - 1)
        position, records = 0, []
        for data in self.dataloader:
            start, position = position, position + len(data['inputs'])
            data, kept = without_stand_ins(data)
            if not kept:
                continue
            batch = self.extract(data, requests, reduced)
            numbers = [self.rank + self.world * (start + index) for index in kept]
            batch.names = [name or f'#{number}' for name, number in zip(batch.names, numbers, strict=True)]
            batch.keys = [self._key_of(name) for name in batch.names]
            repeated = sum(number >= len(self.dataloader.dataset) for number in numbers)
            if repeated < len(batch):
                batch = batch.head(len(batch) - repeated)
                if self._caches:
                    samples = None if batch.data_samples is None else [
                        PackedSample.pack(*both)
                        for both in zip(batch.data_samples, data['data_samples'], strict=False)]
                    records.append(_Record(batch.cache_keys, batch.names, batch.keys, batch.input_size, samples))
                yield batch
        self._records = records if self._caches else None

    def _replay(self, record: _Record, requests: Requests, reduced: bool) -> FeatureBatch:
        batch = self._cached(record.cache_keys, requests, reduced)
        batch.names, batch.keys, batch.fit_id = record.names, record.keys, self.fit_id
        batch.input_size = record.input_size
        batch.others = self._others(requests, record.cache_keys)
        if record.samples is not None:
            batch.data_samples = [sample.unpack(self.device) for sample in record.samples]
        return batch


def _draws_in_every_pass(model: Any, dataloader: DataLoader) -> bool:
    """Whether every pass is meant to see other draws of random transforms, so that no pass may stand for another."""
    return isinstance(dataloader.sampler, DrawSampler) or getattr(getattr(model, 'decode_head', None), 'passes', 1) > 1


def dataset_paths(dataset: Any) -> set[str] | None:
    """Real paths of the images of a data set in MMEngine's sense; None where it does not tell them."""
    if not hasattr(dataset, 'get_data_info'):
        return None
    paths = [dataset.get_data_info(index).get('img_path') for index in range(len(dataset))]
    return None if None in paths else {os.path.realpath(path) for path in paths}

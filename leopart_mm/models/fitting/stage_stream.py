"""StageStream: what a post-processor is fitted on."""

from collections.abc import Iterable, Iterator
from typing import Any

from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.packed_sample import pack_integers
from leopart_mm.models.fitting.stream import REDUCED, FeatureStream


class StageStream:
    """A stream whose batches carry the label maps of the stages before.

    Over a FeatureStream no stage runs twice on an image: the labels of the stage before are taken from the cache, and
    the next stage alone is applied. Over any other iterable, or where nothing is cached, all stages before are.

    Args:
        model: An UnsupervisedSegmentor whose head and first `stages` post-processors are fitted.
        stream: FeatureStream, or an iterable of FeatureBatches that can be read several times.
        stages: Number of post-processors before.

    Attributes:
        num_labels: Number of labels of the stage before.
    """

    def __init__(self, model: Any, stream: Iterable[FeatureBatch], stages: int) -> None:
        self.model = model
        self.stream = stream
        self.stages = stages
        self.num_labels = model.labels_after(stages)

    def __iter__(self) -> Iterator[FeatureBatch]:
        cached = isinstance(self.stream, FeatureStream)
        for batch in self.stream.read(self.model.requests(), reduced=True) if cached else self.stream:
            if cached:
                self._label(batch)
            else:
                batch.labels = self.model.label_batch(batch, self.stages)
            yield batch

    def _label(self, batch: FeatureBatch) -> None:
        results, keys = self.stream.results, batch.cache_keys
        start = next((stage for stage in range(self.stages, -1, -1)
                      if keys and all(results.has(key, [_name(stage)]) for key in keys)), None)
        labels = None if start is None else results.stack(keys, _name(start), self.stream.device).transpose(0, 1).long()
        batch.labels = self.model.label_batch(batch, self.stages, start=start, labels=labels)
        if start == self.stages or not keys:
            return
        found = {_name(self.stages): pack_integers(batch.labels.transpose(0, 1))}
        if start is None and batch.features.reduced is not None:
            found[REDUCED] = batch.features.reduced
        self.stream.keep(batch, found)
        if start is not None:
            results.discard(keys, [_name(start)])


def _name(stage: int) -> str:
    """Name in the cache of the labels after a number of post-processors."""
    return f'labels {stage}'

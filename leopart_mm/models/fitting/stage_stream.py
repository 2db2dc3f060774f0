"""StageStream: what a post-processor is fitted on."""

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from leopart_mm.models.fitting.base import GRID, PIXEL
from leopart_mm.models.fitting.chain import HEAD
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.packed_sample import pack_integers
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.fitting.stream import REDUCED, FeatureStream


class StageStream:
    """A stream whose batches carry the predictions of the head and of the stages before a stage.

    Over a FeatureStream no stage runs twice on an image: what the latest stage gave is taken from the cache, and the
    next stage alone is applied. Over any other iterable, or where nothing is cached, all stages before are.

    Args:
        model: A segmentor whose head and stages before `before` are fitted.
        stream: FeatureStream, or an iterable of FeatureBatches that can be read several times.
        before: Name of a stage; None: all stages are run. If that stage (or for None, any stage) works on pixels,
            batches are single images.
    """

    def __init__(self, model: Any, stream: Iterable[FeatureBatch], before: str | None = None) -> None:
        self.model = model
        self.stream = stream
        self.before = before
        stages = model.postprocessors
        self.names = [HEAD, *(name for name, stage in stages.before(before).items() if stage.level == GRID)]
        self.requests = stages.requests_of(before)
        self.keeps_maps = model.requests(fitting=True).maps
        self.at_pixels = bool(stages.at_level(PIXEL)) if before is None else stages[before].level == PIXEL

    def __iter__(self) -> Iterator[FeatureBatch]:
        cached = isinstance(self.stream, FeatureStream)
        for batch in self.stream.read(self.requests, reduced=not self.requests.maps) if cached else self.stream:
            if cached:
                self._restore(batch)
            self.model.run_stages(batch, self.before)
            if cached:
                self._keep(batch)
            if self.at_pixels:
                for index in range(len(batch)):
                    yield self.model.run_pixel_stages(batch, index, self.before)
            else:
                yield batch

    def _restore(self, batch: FeatureBatch) -> None:
        """Put the prediction of the latest stage that the cache holds into the batch."""
        results, keys = self.stream.results, batch.cache_keys
        for name in reversed(self.names):
            for field in ('labels', 'scores'):
                if keys and all(results.has(key, [f'{name} {field}']) for key in keys):
                    values = results.stack(keys, f'{name} {field}', self.stream.device).transpose(0, 1)
                    batch.predictions = {name: self._prediction(batch, name, field, values)}
                    return

    def _prediction(self, batch: FeatureBatch, name: str, field: str, values: Tensor) -> Prediction:
        number = self.model.labels_after(name)
        extents = batch.extents_on(tuple(values.shape[-2:]))
        if field == 'labels':
            return Prediction(values.long(), extents, number)
        return Prediction(None, extents, number, values)

    def _keep(self, batch: FeatureBatch) -> None:
        """Keep the latest prediction in the place of the one that was restored, and the reduced features."""
        name = self.names[-1]
        results, keys, prediction = self.stream.results, batch.cache_keys, batch.predictions[name]
        field = 'scores' if prediction.labels is None else 'labels'
        if not keys or all(results.has(key, [f'{name} {field}']) for key in keys):
            return
        values = prediction.scores if prediction.labels is None else pack_integers(
            prediction.labels, (0, max(prediction.num_labels - 1, 0)))
        found = {f'{name} {field}': values.transpose(0, 1)}
        has_reduced = all(results.has(key, [REDUCED]) for key in keys)
        if batch.features.reduced is not None and not has_reduced and not self.keeps_maps:
            found[REDUCED] = batch.features.reduced
        self.stream.keep(batch, found)
        results.discard(keys, [f'{other} {field}' for other in self.names[:-1] for field in ('labels', 'scores')])

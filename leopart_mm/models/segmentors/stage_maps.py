"""What every stage made of an image, for pictures: the metainfo ``stages`` of `FittableSegmentor.predict`."""

from dataclasses import dataclass
from typing import Any

from leopart_mm.models.fitting.base import GRID
from leopart_mm.models.fitting.chain import HEAD, StageChain
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.prediction import Prediction


@dataclass
class StageMaps:
    """The maps of a stage.

    Args:
        title: Title of the picture.
        prediction: The maps.
        background: Label that is no object; None: there is none.
    """

    title: str
    prediction: Prediction
    background: int | None = None

    def of_image(self, index: int) -> dict[str, Any]:
        """The entry of ``stages``: title, labels (h, w) of the first variant without padding, extent, ..."""
        image = self.prediction.select([index])
        rows, columns, extent = image.content(0)
        return dict(title=self.title, labels=image.hard_labels[0, 0, rows, columns].long().cpu(), extent=extent,
                    num_labels=self.prediction.num_labels, background=self.background)


def grid_stage_maps(chain: StageChain, batch: FeatureBatch) -> dict[str, StageMaps]:
    """The maps of the head and of all stages on the grid, by name, in order; what a stage draws beside comes first."""
    found = {HEAD: StageMaps('clusters', batch.predictions[HEAD])}
    for name, stage in chain.at_level(GRID).items():
        for title, maps in stage.pictures(batch).items():
            extents = batch.extents_on(tuple(maps.shape[-2:]))
            prediction = Prediction(maps.long()[None], extents, int(maps.max()) + 1)
            found[f'{name}.{title}'] = StageMaps(title, prediction, background=0)
        found[name] = StageMaps(chain.title_of(name), batch.predictions[name], stage.background)
    return found

"""InstanceMetric: mask AP of a detector's predictions, which are also written."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from leopart_mm.datasets.coco_json import CocoFile, read_coco
from leopart_mm.evaluation.instance_ap import MODES
from leopart_mm.evaluation.instance_report import MATCHINGS, InstanceReport, assign_images, score_instances
from leopart_mm.evaluation.instance_writer import InstanceResultsWriter
from leopart_mm.files import printable
from leopart_mm.registry import METRICS


@METRICS.register_module()
class InstanceMetric(InstanceResultsWriter):
    """Mask AP against a COCO JSON, of all predictions and of the most certain one per image.

    An InstanceResultsWriter that scores what it writes (docs/methods/maskdistill.md §12). Unlike MMDetection's
    CocoMetric, it numbers annotations so that no match is lost, matches raw cluster ids to classes if asked to, and
    says which images have no prediction or no object.

    Results, beside those of the writer, in percent (NaN where nothing can be scored): ``multi/AP50``, ``multi/AP``,
    ``multi/AP75``, ``single/AP50``, ``single/AP``, ``single/AP75``.

    Args:
        ann_file: COCO JSON of the ground truth, with masks; images are found by ids or names, see `assign_images`.
        modes: Some of 'multi' and 'single'.
        class_aware: False takes all for one class.
        matching: 'direct', or 'hungarian' where categories are ids of clusters, see `match_clusters`.
        first_id: Number of the first annotation; 0 as published.
        crowds: See `instance_scores`.
        subset: Leave out predictions of images that the ground truth does not list, instead of refusing them.
        **kwargs: As in InstanceResultsWriter.

    Attributes:
        report_: InstanceReport of the last evaluation, in the main process.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or an option has an unknown value.
    """

    keeps_results: ClassVar[bool] = True

    def __init__(self, ann_file: str | os.PathLike, modes: Sequence[str] = MODES, class_aware: bool = True,
                 matching: str = 'direct', first_id: int = 1, crowds: bool = False, subset: bool = False,
                 **kwargs: Any) -> None:
        for name, values, known in (('modes', modes, MODES), ('matching', [matching], MATCHINGS)):
            if unknown := [value for value in values if value not in known]:
                raise ValueError(f'InstanceMetric: {name}={unknown[0]!r} is unknown: use '
                                 f'{" or ".join(map(repr, known))}.')
        self.path = Path(ann_file).expanduser()
        self.truth = read_coco(self.path)
        self.modes, self.subset = list(modes), subset
        self.options = dict(class_aware=class_aware, matching=matching, first_id=first_id, crowds=crowds)
        self.report_: InstanceReport | None = None
        super().__init__(**kwargs)

    def finish(self, results: Iterator[dict[str, Any]]) -> dict[str, float]:
        """Write the results if there is a folder, and score them; a collective call.

        Raises:
            ValueError: If a result does not fit the ground truth; the message names it.
        """
        found = list(results) if is_main_process() else []
        super().finish(iter(found))
        scores: list[Any] = [None]
        if is_main_process():
            try:
                entries, unlisted = assign_images(self.truth, CocoFile([], found, []), self.subset)
                self.report_ = score_instances(self.truth, entries, self.modes, unlisted=unlisted, **self.options)
                print_log(f'Scored by {printable(self.path)}.\n{self.report_.summary()}', logger='current')
                scores = [{f'{mode}/{name}': 100 * value if value >= 0 else float('nan')
                           for mode, each in self.report_.scores.items()
                           for name, value in each.stats.items() if name in ('AP50', 'AP', 'AP75')}]
            except ValueError as error:
                scores = [error]
        broadcast_object_list(scores)
        if isinstance(scores[0], ValueError):
            raise ValueError(f'{printable(self.path)} cannot score these predictions: {scores[0]}') from scores[0]
        return scores[0]

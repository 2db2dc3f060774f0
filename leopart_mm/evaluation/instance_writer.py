"""InstanceResultsWriter: what a detector predicts as a list of COCO results, in the memory of one image."""

import contextlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmengine.dist import all_gather_object, barrier, get_rank, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from pycocotools import mask as coco_mask

from leopart_mm.datasets.coco_json import write_results
from leopart_mm.files import printable, shorten
from leopart_mm.folder_lock import lock_folder
from leopart_mm.registry import METRICS

RESULTS = 'predictions.json'
NAMED = 5
NO_SCORE = ('These numbers count instances. They say nothing of how right they are: there is no ground truth to score '
            'with, so look at the pictures.')


@METRICS.register_module()
class InstanceResultsWriter(BaseMetric):
    """Writes ``predictions.json``, a list of COCO results (docs/methods/maskdistill.md §6), and counts.

    Each entry has ``image_id``, ``category_id``, ``bbox`` [x, y, w, h], ``score`` and, of models with masks,
    ``segmentation`` as compressed run lengths at the size of the image's file. Images are in the order of the data set,
    instances in descending order of their scores, on which label maps rely (§7). Masks without a pixel are left out.

    Predictions lie in hidden files until the end, one per process, so that memory does not grow with the data set; an
    image that a sampler repeats is written once.

    Results: ``images``, ``instances`` and ``images_without`` (images without any instance).

    Args:
        output_dir: Folder of the file; None: only counts. tools/test.py --out sets it.
        category_ids: Category of each label; None: that of the data set, or of the data that the model was trained on
            (`Detectron2CheckpointHook` reads it from the checkpoint), or the label itself.
        keep_results: Taken, and of no effect, for tools/test.py --out.
        **kwargs: As in MMEngine's BaseMetric.

    Raises:
        FolderInUseError: If another run writes to `output_dir`.
    """

    keeps_results: ClassVar[bool] = False
    """Whether results are kept without a folder too, in memory."""

    def __init__(self, output_dir: str | None = None, category_ids: Sequence[int] | None = None,
                 keep_results: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = None if output_dir is None else Path(output_dir).expanduser()
        self.category_ids = category_ids
        self._lock = None
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock_folder(self.folder) if is_main_process() else None
        self._reset()

    def _reset(self) -> None:
        self.images: list[tuple[Any, int, int]] = []  # id, place in the hidden file, number of instances
        self._stream: Any = None

    @property
    def hidden(self) -> Path:
        """The file of this process until the end."""
        return self.folder / f'.{RESULTS}.{get_rank()}.part'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of a batch.

        Args:
            data_batch: Not used.
            data_samples: ``img_id`` and ``pred_instances`` (``bboxes`` (N, 4) x1, y1, x2, y2; ``scores``, ``labels``
                (N,); ``masks`` (N, H, W) bool) each.
        """
        if self._stream is None and self.folder is not None:
            self._stream = open(self.hidden, 'w', encoding='utf-8')  # noqa: SIM115  (closed in evaluate)
        elif self._stream is None and self.keeps_results:
            self._stream = io.StringIO()
        for sample in data_samples:
            results = self._results(sample)
            place = 0 if self._stream is None else self._stream.tell()
            self.images.append((sample['img_id'], place, len(results)))
            if self._stream is not None:
                self._stream.write(json.dumps(results) + '\n')

    def _results(self, sample: dict) -> list[dict[str, Any]]:
        found = sample['pred_instances']
        boxes, scores, labels = (np.asarray(found[key].cpu()) for key in ('bboxes', 'scores', 'labels'))
        masks = found.get('masks')
        categories = self.category_ids or (self.dataset_meta or {}).get('category_ids')
        entries = []
        for index in np.argsort(-scores, kind='stable'):
            x1, y1, x2, y2 = map(float, boxes[index])
            label = int(labels[index])
            if categories and label >= len(categories):
                raise ValueError(f'The model predicts label {label} in image {sample["img_id"]!r}, but the data set '
                                 f'has only {len(categories)} categories. For a model of raw cluster ids, give a list '
                                 'of images without categories as test_ann_file: '
                                 'tools/dataset_converters/image_list.py writes one.')
            entry = dict(image_id=sample['img_id'], category_id=int(categories[label]) if categories else label,
                         bbox=[x1, y1, x2 - x1, y2 - y1], score=float(scores[index]))
            if masks is not None:
                mask = np.asarray(masks[index].cpu(), np.uint8)
                if not mask.any():
                    continue
                lengths = coco_mask.encode(np.asfortranarray(mask))
                entry['segmentation'] = dict(size=[int(side) for side in lengths['size']],
                                             counts=lengths['counts'].decode())
            entries.append(entry)
        return entries

    def evaluate(self, size: int) -> dict[str, float]:
        """Write the file of all processes' images and count; a collective call.

        BaseMetric's own method gathers the results of all images in memory.

        Args:
            size: Number of images in the data set.
        """
        hidden = text = None
        if self._stream is not None:
            text = self._stream.getvalue() if self.folder is None else None
            hidden = None if self.folder is None else str(self.hidden)
            self._stream.close()
        parts = all_gather_object((hidden, self.images, text))
        self._reset()
        places = _in_order(parts)
        found = self.finish(_read(parts, places))
        barrier()
        if hidden is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(hidden)
        metrics = self.compute_metrics([parts[rank][1][number] for rank, number in places]) | found
        if not found:
            print_log(NO_SCORE, logger='current')
        return {f'{self.prefix}/{key}': value for key, value in metrics.items()} if self.prefix else metrics

    def finish(self, results: Iterator[dict[str, Any]]) -> dict[str, float]:
        """Write the results of all processes if there is a folder; a collective call.

        Args:
            results: All of them, in the order of the data set; to be read in the main process only.

        Returns:
            More metrics than the counts.
        """
        if self.folder is not None and is_main_process():
            write_results(self.folder / RESULTS, results)
            print_log(f'Wrote {printable(self.folder / RESULTS)}.', logger='current')
        return {}

    def compute_metrics(self, results: list[tuple[Any, int, int]]) -> dict[str, float]:
        """The counts.

        Args:
            results: Id, place and number of instances of each image.
        """
        without = [number for number, _, count in results if not count]
        if without:
            print_log(f'{len(without)} of {len(results)} images have no instance: {shorten(without, NAMED)}.',
                      logger='current')
        return dict(images=float(len(results)), instances=float(sum(count for _, _, count in results)),
                    images_without=float(len(without)))


def _in_order(parts: Sequence[tuple]) -> list[tuple[int, int]]:
    """(rank, number) of every image once, in the order of the data set, of which rank r of W has r, r + W, ..."""
    places, seen = [], set()
    for number in range(max((len(images) for _, images, _ in parts), default=0)):
        for rank, (_, images, _) in enumerate(parts):
            if number < len(images) and images[number][0] not in seen:
                seen.add(images[number][0])
                places.append((rank, number))
    return places


def _read(parts: Sequence[tuple[str | None, list, str | None]], places: Sequence[tuple[int, int]]
          ) -> Iterator[dict[str, Any]]:
    with contextlib.ExitStack() as stack:
        streams = [io.StringIO(text) if path is None else stack.enter_context(open(path, encoding='utf-8'))
                   for path, _, text in parts]
        for rank, number in places:
            streams[rank].seek(parts[rank][1][number][1])
            yield from json.loads(streams[rank].readline())

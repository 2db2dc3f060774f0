"""Mask AP, multi and single: ours, beside pycocotools with the ground truth reduced by loops over lists."""

import contextlib
import io
import time
from typing import Any

import numpy as np

from benchmarks.base import Benchmark, benchmark


@benchmark('ap')
class InstanceAP(Benchmark):
    """AP of 20 predictions and 4 objects in each of 1449 images, 20 classes: all, and the best per image."""

    expected = 40.
    threads = 1
    clock = 'cpu'
    rounds = 2
    repeats = 1
    warm_up = False
    compared = "pycocotools' twelve numbers in both modes"

    def setup(self, quick: bool) -> None:
        """Ellipses as compressed run lengths, predictions near objects."""
        from pycocotools import mask as coco_mask
        self.size = (48, 64) if quick else (188, 250)
        generator = np.random.default_rng(0)
        rows, columns = np.ogrid[:self.size[0], :self.size[1]]

        def entry(centre: np.ndarray, radius: np.ndarray, **more: Any) -> dict:
            mask = ((rows - centre[0]) / radius[0])**2 + ((columns - centre[1]) / radius[1])**2 <= 1
            lengths = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            return dict(more, segmentation=dict(size=list(self.size), counts=lengths['counts'].decode()),
                        bbox=coco_mask.toBbox(lengths).tolist(), area=float(coco_mask.area(lengths)))

        self.images, self.annotations, self.results = [], [], []
        for image in range(6 if quick else 1449):
            self.images.append(dict(id=image, file_name=f'{image}.jpg', height=self.size[0], width=self.size[1]))
            shapes = []
            for _ in range(4):
                centre = (0.1 + 0.8 * generator.random(2)) * self.size
                radius = (0.05 + 0.2 * generator.random(2)) * self.size
                shapes.append((centre, radius, int(generator.integers(20))))
                self.annotations.append(entry(centre, radius, image_id=image, category_id=shapes[-1][2], iscrowd=0,
                                              id=len(self.annotations) + 1))
            for _ in range(20 if image % 10 else 0):
                centre, radius, category = shapes[generator.integers(4)]
                moved = centre + 0.3 * radius * generator.standard_normal(2)
                category = category if generator.random() < 0.7 else int(generator.integers(20))
                self.results.append(entry(moved, radius * (0.8 + 0.4 * generator.random(2)), image_id=image,
                                          category_id=category, score=float(generator.random())))
        self.categories = [dict(id=number, name=str(number)) for number in range(20)]

    def ours(self) -> Any:
        """`instance_scores` in both modes."""
        from leopart_mm.datasets.coco_json import CocoFile
        from leopart_mm.evaluation.instance_report import score_instances
        truth = CocoFile(self.images, self.annotations, self.categories)
        found = score_instances(truth, [{key: value for key, value in entry.items() if key != 'area'}
                                        for entry in self.results])
        return {mode: list(scores.stats.values()) for mode, scores in found.scores.items()}

    def baseline(self) -> Any:
        """The spec's steps one by one: for each image the lists of all predictions and objects are gone through."""
        best, objects = [], []
        for image in self.images:
            predictions = [entry for entry in self.results if entry['image_id'] == image['id']]
            if predictions:
                chosen = predictions[int(np.argmax([entry['score'] for entry in predictions]))]
                own = [entry for entry in self.annotations if entry['image_id'] == image['id']]
                objects.append(own[int(np.argmax([_box_iou(chosen['bbox'], entry['bbox']) for entry in own]))])
                best.append(dict(chosen, id=len(best) + 1, iscrowd=0,
                                 area=int(chosen['bbox'][2] * chosen['bbox'][3])))
        with contextlib.redirect_stdout(io.StringIO()):
            truth = self._index(self.annotations)
            multi = _evaluate(truth, truth.loadRes([dict(entry) for entry in self.results]))
            single = _evaluate(self._index(objects), self._index(best))
        return dict(multi=multi, single=single)

    def details(self) -> list[str]:
        """How much of our time is pycocotools' own."""
        from leopart_mm.evaluation import instance_ap
        wrapped, inside = instance_ap.average_precision, []

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            found = wrapped(*args, **kwargs)
            inside.append(time.perf_counter() - start)
            return found

        instance_ap.average_precision = timed
        start = time.perf_counter()
        self.ours()
        share = sum(inside) / (time.perf_counter() - start)
        instance_ap.average_precision = wrapped
        return [f'{100 * share:.0f} % of our time is in pycocotools, which both sides call. The lists of the other '
                'side grow with the square of the number of images.']

    def _index(self, annotations: list[dict]) -> Any:
        from pycocotools.coco import COCO
        found = COCO()
        found.dataset = dict(images=self.images, annotations=[dict(entry) for entry in annotations],
                             categories=self.categories)
        found.createIndex()
        return found

    def same(self, ours: Any, baseline: Any) -> bool:
        """Equal numbers, of which AP50 is neither 0 nor 1."""
        return all(np.allclose(ours[mode], baseline[mode], atol=1e-9) and 0 < ours[mode][1] < 1
                   for mode in ('multi', 'single'))


def _evaluate(truth: Any, found: Any) -> list[float]:
    from pycocotools.cocoeval import COCOeval
    evaluation = COCOeval(truth, found, 'segm')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats.tolist()


def _box_iou(box: list[float], other: list[float]) -> float:
    """Of two boxes x, y, w, h, the second one rounded."""
    x1, y1, x2, y2 = box[0], box[1], box[0] + box[2], box[1] + box[3]
    a1, b1, a2, b2 = (round(value) for value in (other[0], other[1], other[0] + other[2], other[1] + other[3]))
    shared = max(min(x2, a2) - max(x1, a1), 0) * max(min(y2, b2) - max(y1, b1), 0)
    return shared / (max((x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - shared, 1e-8))

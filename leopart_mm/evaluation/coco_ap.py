"""Average precision of scored instances, by pycocotools."""

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SUMMARY = ('AP', 'AP50', 'AP75', 'AP_small', 'AP_medium', 'AP_large', 'AR_1', 'AR_10', 'AR_100', 'AR_small',
           'AR_medium', 'AR_large')


def average_precision(images: Iterable[Mapping[str, Any]], annotations: Iterable[Mapping[str, Any]],
                      results: Sequence[Mapping[str, Any]], categories: Iterable[int],
                      iou_type: str = 'bbox') -> dict[str, float]:
    """pycocotools' summary of results against a ground truth, per class, 100 detections per image.

    Args:
        images: ``id``, ``height`` and ``width`` of the images of the ground truth; all of them count.
        annotations: The ground truth. It is numbered anew, from 1: pycocotools takes 0 for "no match"
            (docs/methods/maskdistill.md §12).
        results: A list of COCO results, each of one of the images.
        categories: Ids of the categories that count.
        iou_type: 'bbox' or 'segm'.

    Returns:
        By the names in `SUMMARY`, 0..1; -1 where there is nothing to score.
    """
    truth = COCO()
    truth.dataset = dict(
        images=[dict(image) for image in images],
        annotations=[dict(dict(iscrowd=0) | annotation, id=number) for number, annotation in enumerate(annotations, 1)],
        categories=[dict(id=int(category), name=str(category)) for category in categories])
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes([dict(entry) for entry in results]) if results else COCO(), iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(SUMMARY, np.asarray(evaluation.stats, float).tolist(), strict=True))

"""Average precision of scored instances, by pycocotools."""

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SUMMARY = ('AP', 'AP50', 'AP75', 'AP_small', 'AP_medium', 'AP_large', 'AR_1', 'AR_10', 'AR_100', 'AR_small',
           'AR_medium', 'AR_large')


def average_precision(images: Iterable[Mapping[str, Any]], annotations: Iterable[Mapping[str, Any]],
                      results: Iterable[Mapping[str, Any]], categories: Iterable[int], iou_type: str = 'bbox',
                      annotation_ids: Sequence[int] | None = None, first_result_id: int = 1) -> dict[str, float]:
    """pycocotools' summary of results against a ground truth, per class, 100 detections per image.

    Args:
        images: ``id``, ``height`` and ``width`` of the images of the ground truth; all of them count.
        annotations: The ground truth: ``image_id``, ``category_id``, ``area``, and ``bbox`` or ``segmentation``.
        results: COCO results, each of one of the images. For sizes, an ``area`` counts with 'segm', else that of the
            box, else of the mask (compressed run lengths), as in pycocotools' loadRes.
        categories: Ids of the categories that count.
        iou_type: 'bbox' or 'segm'.
        annotation_ids: Numbers of the annotations; None: from 1. pycocotools takes 0 for "no match"
            (docs/methods/maskdistill.md §12).
        first_result_id: Number of the first result, likewise.

    Returns:
        By the names in `SUMMARY`, 0..1; -1 where there is nothing to score.
    """
    images = list(images)
    # pycocotools sorts ids as an array, which would turn numbers beside names into text
    order = sorted((image['id'] for image in images), key=lambda number: (isinstance(number, str), number))
    number_of = {number: position for position, number in enumerate(order)}
    pictures = [dict(image, id=number_of[image['id']]) for image in images]
    classes = [dict(id=int(category), name=str(category)) for category in categories]

    def data_set(entries: Iterable[Mapping[str, Any]], ids: Iterable[int]) -> COCO:
        found = COCO()
        numbered = [dict(dict(iscrowd=0) | entry, id=number, image_id=number_of[entry['image_id']])
                    for entry, number in zip(entries, ids, strict=True)]
        found.dataset = dict(images=pictures, annotations=numbered, categories=classes)
        found.createIndex()
        return found

    annotations = list(annotations)
    results = [dict(entry, iscrowd=0, area=_area(entry, iou_type)) for entry in results]
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        truth = data_set(annotations, range(1, len(annotations) + 1) if annotation_ids is None else annotation_ids)
        evaluation = COCOeval(truth, data_set(results, range(first_result_id, first_result_id + len(results))),
                              iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(SUMMARY, np.asarray(evaluation.stats, float).tolist(), strict=True))


def _area(result: Mapping[str, Any], iou_type: str) -> float:
    if iou_type == 'segm' and 'area' in result:
        return result['area']
    box = result.get('bbox')
    return float(coco_mask.area(result['segmentation'])) if box is None else box[2] * box[3]

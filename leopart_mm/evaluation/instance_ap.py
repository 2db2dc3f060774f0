"""Mask AP of predicted instances: of all, or of the most certain one per image (docs/methods/maskdistill.md §12)."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pycocotools import mask as coco_mask

from leopart_mm.datasets.coco_json import CocoFile, best_per_image
from leopart_mm.datasets.object_boxes import coco_objects
from leopart_mm.evaluation.coco_ap import average_precision
from leopart_mm.files import printable, shorten
from leopart_mm.geometry.boxes import box_corners, box_iou
from leopart_mm.masks.instance_shapes import instance_box, run_lengths

MODES = ('multi', 'single')
Entry = Mapping[str, Any]


@dataclass(frozen=True)
class InstanceScores:
    """Mask AP, and what it leaves out.

    Args:
        mode: 'multi' or 'single', see `instance_scores`.
        class_aware: Whether categories count.
        stats: pycocotools' twelve numbers by their names in `coco_ap.SUMMARY`, 0..1; -1 where nothing can be scored.
        images: Number of images of the ground truth.
        objects: Number of objects that could be found, crowds left out.
        predictions: Number of predictions that were scored.
        without_prediction: File names of images of the ground truth without a prediction. In 'multi' their objects are
            missed; 'single' leaves them out, as published.
        without_truth: File names of images with a prediction, but without an object.
    """

    mode: str
    class_aware: bool
    stats: dict[str, float]
    images: int
    objects: int
    predictions: int
    without_prediction: list[str]
    without_truth: list[str]

    @property
    def ap50(self) -> float:
        """AP at IoU 0.5, 0..1; -1 where nothing can be scored."""
        return self.stats['AP50']

    def summary(self) -> str:
        """The scores in words, in percent."""
        def percent(name: str) -> str:
            return f'{100 * self.stats[name]:.2f} %' if self.stats[name] >= 0 else 'none (no object to find)'

        kind = '' if self.class_aware else ', classes left aside'
        which = 'all predictions' if self.mode == 'multi' else 'the most certain prediction per image'
        text = (f'{self.mode} ({which}{kind}): AP50 {percent("AP50")}, AP {percent("AP")}, AP75 {percent("AP75")} of '
                f'{self.predictions} predictions and {self.objects} objects in {self.images} images')
        if self.without_prediction:
            fate = 'their objects are missed' if self.mode == 'multi' else 'left out with their objects'
            text += (f'; {len(self.without_prediction)} images without a prediction, {fate} '
                     f'({shorten(map(printable, self.without_prediction))})')
        if self.without_truth:
            text += (f'; {len(self.without_truth)} images with a prediction but without an object, which counts as '
                     f'wrong ({shorten(map(printable, self.without_truth))})')
        return f'{text}.'


def instance_scores(truth: CocoFile, results: Sequence[Entry], mode: str = 'multi', class_aware: bool = True,
                    first_id: int = 1, crowds: bool = False) -> InstanceScores:
    """pycocotools' mask AP of results against a ground truth.

    'multi' scores all results against all objects. 'single' keeps the result of highest score of each image (the first
    one on ties), and of the objects of its image the one of the largest box IoU with it, whatever its class; images
    without a result are left out with their objects. A result in an image without an object counts as wrong.

    Args:
        truth: Ground truth with masks. Crowds are regions to ignore.
        results: COCO results with masks; without a ``score`` it is 1.
        mode: 'multi' or 'single'.
        class_aware: False takes all for one class.
        first_id: Number of the first annotation; 0 as published, where the match with it counts as a miss.
        crowds: Whether in 'single' a crowd may be the object of an image, alone, as published.

    Returns:
        See InstanceScores.

    Raises:
        ValueError: If the mode is unknown, a result is of an unknown image or category or has no score that is a
            number, or a mask cannot be used; the message names it.

    >>> mask = dict(size=[4, 4], counts=[0, 8, 8])
    >>> truth = CocoFile([dict(id=1, file_name='a.jpg', height=4, width=4)],
    ...                  [dict(id=1, image_id=1, category_id=0, segmentation=mask)], [dict(id=0, name='cat')])
    >>> instance_scores(truth, [dict(image_id=1, category_id=0, score=0.9, segmentation=mask)]).ap50.__round__(6)
    1.0
    """
    if mode not in MODES:
        raise ValueError(f'mode={mode!r} is unknown: use {" or ".join(map(repr, MODES))}.')
    images = {image['id']: image for image in truth.images}
    results = [dict(dict(score=1.) | entry) for entry in results]
    _check(results, images, {entry['id'] for entry in truth.categories} if class_aware else None)
    predicted = {entry['image_id'] for entry in results}
    with_object = {entry['image_id'] for entry in truth.annotations if not entry.get('iscrowd')}
    numbered = list(enumerate(truth.annotations, first_id))
    if mode == 'single':
        results = best_per_image(results)
    results = [with_run_lengths(entry, images, 'Prediction', number) for number, entry in enumerate(results)]
    if mode == 'single':
        results = [dict(entry, bbox=_box(entry, images)) for entry in results]
        results = [dict(entry, area=int(entry['bbox'][2] * entry['bbox'][3])) for entry in results]
        numbered = _nearest(numbered, results, images, crowds)
    else:
        results = [{key: value for key, value in entry.items() if key != 'area'} for entry in results]
    objects = [with_run_lengths(entry, images, 'Annotation', entry.get('id', number)) for number, entry in numbered]
    objects = [dict(area=int(coco_mask.area(entry['segmentation']))) | entry for entry in objects]
    categories = [entry['id'] for entry in truth.categories]
    if not class_aware:
        objects, results = ([dict(entry, category_id=0) for entry in entries] for entries in (objects, results))
        categories = [0]
    stats = average_precision(truth.images, objects, results, categories, 'segm', [number for number, _ in numbered],
                              first_id if mode == 'single' else 1)
    return InstanceScores(
        mode, class_aware, stats, len(images), sum(not entry.get('iscrowd') for entry in objects), len(results),
        [image['file_name'] for number, image in images.items() if number not in predicted],
        [image['file_name'] for number, image in images.items() if number in predicted - with_object])


def _check(results: Iterable[Entry], images: Mapping[Any, Entry], categories: set[Any] | None) -> None:
    for number, entry in enumerate(results):
        if entry['image_id'] not in images:
            raise ValueError(f'Prediction {number} is of image {entry["image_id"]!r}, which the ground truth does not '
                             'list: are these the predictions of other images?')
        if categories is not None and entry['category_id'] not in categories:
            raise ValueError(f'Prediction {number} of image {entry["image_id"]!r} has category '
                             f'{entry["category_id"]!r}, but the ground truth has only '
                             f'{shorten(sorted(categories), 25)}: match clusters to classes first (hungarian), or '
                             'leave classes aside.')
        if not math.isfinite(entry['score']):
            raise ValueError(f'Prediction {number} of image {entry["image_id"]!r} has the score {entry["score"]!r}, '
                             'which is no finite number.')


def with_run_lengths(entry: Entry, images: Mapping[Any, Entry], what: str, number: Any) -> dict[str, Any]:
    """An entry with its mask as compressed run lengths."""
    image = images[entry['image_id']]
    try:
        if entry.get('segmentation') is None:
            raise ValueError('it has no mask (segmentation)')
        lengths = run_lengths(entry['segmentation'], (image['height'], image['width']))
    except ValueError as error:
        raise ValueError(f'{what} {number} of image {entry["image_id"]!r} ({printable(str(image["file_name"]))}) '
                         f'cannot be scored: {error}.') from error
    return dict(entry, segmentation=lengths)


def _box(entry: Entry, images: Mapping[Any, Entry]) -> list[float]:
    image = images[entry['image_id']]
    return instance_box(entry, (image['height'], image['width']))


def _nearest(numbered: Sequence[tuple[int, Entry]], results: Sequence[Entry], images: Mapping[Any, Entry],
             crowds: bool) -> list[tuple[int, Entry]]:
    """Of each result's image the object whose rounded box has the largest IoU with it, and the crowds to ignore."""
    by_image: dict[Any, list[tuple[int, Entry]]] = {}
    for number, entry in numbered:
        by_image.setdefault(entry['image_id'], []).append((number, entry))
    kept = []
    for result in results:
        entries = by_image.get(result['image_id'], [])
        ignored = [] if crowds else [pair for pair in entries if pair[1].get('iscrowd')]
        entries = [pair for pair in entries if crowds or not pair[1].get('iscrowd')]
        if entries:
            boxes = coco_objects(dict(entry, bbox=_box(entry, images)) for _, entry in entries).boxes
            kept.append(entries[int(box_iou(box_corners(result['bbox'])[0], boxes).argmax())])
        kept += ignored
    return kept

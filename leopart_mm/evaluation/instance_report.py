"""Predicted instances against a ground truth: whose they are, what their clusters mean, and their mask AP.

Source: docs/methods/maskdistill.md §12.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from leopart_mm.clustering.matching import hungarian_pixels
from leopart_mm.datasets.coco_json import CocoFile, coco_kind, read_coco
from leopart_mm.datasets.object_boxes import ImageMatcher
from leopart_mm.evaluation.instance_ap import MODES, InstanceScores, instance_scores, with_run_lengths
from leopart_mm.files import printable, shorten

MATCHINGS = ('direct', 'hungarian')
Entry = dict[str, Any]


@dataclass(frozen=True)
class InstanceReport:
    """What predictions score.

    Args:
        scores: 'multi' and 'single', or one of them, see `instance_scores`.
        matching: 'direct', 'hungarian', or '' where classes are left aside.
        classes: Cluster -> category of the ground truth, with 'hungarian'; else empty.
        names: Category -> its name.
        unlisted: Images of predictions that the ground truth does not list, which were left out.
    """

    scores: dict[str, InstanceScores]
    matching: str
    classes: dict[int, int]
    names: dict[int, str]
    unlisted: list[str]

    def summary(self) -> str:
        """The report in lines of text."""
        lines = [found.summary() for found in self.scores.values()]
        if self.matching == 'hungarian':
            pairs = (f'{cluster} -> {self.names.get(category) or category}' for cluster, category in
                     sorted(self.classes.items()))
            lines.append('Clusters were matched to classes by this ground truth (hungarian: largest sum of score times '
                         f'mask IoU, one per class that has objects, the others by most): {shorten(pairs, 100)}.')
        elif self.matching == 'direct':
            lines.append('Categories count as the classes of the same id (direct).')
        if self.unlisted:
            lines.append(f'{len(self.unlisted)} images with predictions are not in the ground truth and were left out '
                         f'({shorten(map(printable, self.unlisted))}).')
        return '\n'.join(lines)


def evaluate_instances(predictions: str | os.PathLike, gt: str | os.PathLike, modes: Sequence[str] = MODES,
                       class_aware: bool = True, matching: str | None = None, first_id: int = 1,
                       crowds: bool = False, subset: bool = False) -> InstanceReport:
    """Score a file of predictions.

    Args:
        predictions: A list of COCO results, or a COCO JSON of masks such as those of tools/generate_masks.py and
            tools/cluster_masks.py; images of the latter are found by their names.
        gt: COCO JSON of the ground truth, with masks.
        modes, class_aware, first_id, crowds: See `instance_scores`.
        matching: See `score_instances`; None: 'hungarian' if the file says that its categories are clusters, else
            'direct'.
        subset: Leave out predictions of images that the ground truth does not list, instead of refusing them.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, or a prediction is of an unknown image or category, or has no mask of the
            image's size; the message names file and entry.
    """
    path = Path(predictions).expanduser()
    truth, kind = read_coco(Path(gt).expanduser()), coco_kind(path)
    found = read_coco(path, kind)
    if matching is None:
        matching = 'hungarian' if found.categories and all(
            entry['name'] == f'cluster {entry["id"]}' for entry in found.categories) else 'direct'
    try:
        results, unlisted = assign_images(truth, found, subset)
        return score_instances(truth, results, modes, class_aware, matching, first_id, crowds, unlisted)
    except ValueError as error:
        raise ValueError(f'{printable(path)}: {error}') from error


def assign_images(truth: CocoFile, found: CocoFile, subset: bool = False) -> tuple[list[Entry], list[str]]:
    """Predictions with the image ids of the ground truth.

    Args:
        truth: The ground truth.
        found: Predictions. If the file lists images, these are found by their names; else by their ids, and ids that
            are names of files (as of a folder without a JSON) by these.
        subset: See `evaluate_instances`.

    Returns:
        The predictions, and the images that are not in the ground truth.

    Raises:
        ValueError: If an image is not in the ground truth; the message names it.
    """
    ids = {image['file_name']: image['id'] for image in truth.images}
    known, matcher = set(ids.values()), ImageMatcher(ids)
    file_names = {image['id']: image['file_name'] for image in found.images}
    results, unlisted, image_ids = [], {}, {}
    for number, entry in enumerate(found.annotations):
        image_id = entry['image_id']
        if image_id not in image_ids:
            name = file_names.get(image_id, image_id if isinstance(image_id, str) and image_id not in known else None)
            image_ids[image_id] = image_id if name is None else ids.get(matcher.find(name))
        new_id = image_ids[image_id]
        if new_id in known:
            results.append(dict(entry, image_id=new_id))
        elif subset:
            unlisted[str(file_names.get(image_id, image_id))] = None
        else:
            name = f' ({printable(file_names[image_id])})' if image_id in file_names else ''
            raise ValueError(f'prediction {entry.get("id", number)} is of image {image_id!r}{name}, which the ground '
                             'truth does not list. If it is meant to cover a part of the images: --subset.')
    return results, list(unlisted)


def score_instances(truth: CocoFile, results: Sequence[Entry], modes: Sequence[str] = MODES, class_aware: bool = True,
                    matching: str = 'direct', first_id: int = 1, crowds: bool = False,
                    unlisted: Sequence[str] = ()) -> InstanceReport:
    """Score predictions in each mode.

    Args:
        truth, results, class_aware, first_id, crowds: See `instance_scores`.
        modes: Some of 'multi' and 'single'.
        matching: 'direct' takes categories as they are, 'hungarian' takes them for ids of clusters, see
            `match_clusters`. Without effect where classes are left aside.
        unlisted: For the report.

    Raises:
        ValueError: See `instance_scores`.
    """
    if matching not in MATCHINGS:
        raise ValueError(f'matching={matching!r} is unknown: use {" or ".join(map(repr, MATCHINGS))}.')
    classes: dict[int, int] = {}
    if class_aware and matching == 'hungarian':
        classes = match_clusters(truth, results)
        results = [dict(entry, category_id=classes[entry['category_id']]) for entry in results]
    scores = {mode: instance_scores(truth, results, mode, class_aware, first_id, crowds) for mode in modes}
    return InstanceReport(scores, matching if class_aware else '', classes,
                          {entry['id']: str(entry['name']) for entry in truth.categories}, list(unlisted))


def match_clusters(truth: CocoFile, results: Sequence[Entry]) -> dict[int, int]:
    """Give clusters to the categories of a ground truth that have an object, no crowd.

    Each result votes with its score times its mask IoU for the class of the object that it overlaps most. One cluster
    per class so that the sum of votes is largest; clusters left over take the class of most votes. Classes without an
    object get no cluster: AP leaves them out, and with them what is wrong in it.

    Args:
        truth: The ground truth.
        results: Results of which ``category_id`` is a cluster.

    Returns:
        Cluster -> category id.

    Raises:
        ValueError: If the ground truth has no object, or a mask cannot be used.
    """
    classes = sorted({entry['category_id'] for entry in truth.annotations if not entry.get('iscrowd')})
    if not classes:
        raise ValueError('The ground truth has no object by which clusters could be matched to classes.')
    clusters = sorted({entry['category_id'] for entry in results})
    if not clusters:
        return {}
    row, column = ({number: place for place, number in enumerate(ids)} for ids in (clusters, classes))
    images, objects = {image['id']: image for image in truth.images}, truth.by_image()
    by_image: dict[Any, list[tuple[int, Entry]]] = {}
    for number, entry in enumerate(results):
        by_image.setdefault(entry['image_id'], []).append((number, entry))
    votes = np.zeros((len(clusters), len(classes)))
    for image_id, entries in by_image.items():
        here = [entry for entry in objects.get(image_id, []) if not entry.get('iscrowd')]
        if here:
            add_votes(votes, [(row[entry['category_id']], float(entry.get('score', 1.)),
                               with_run_lengths(entry, images, 'Prediction', number)) for number, entry in entries],
                      [(column[entry['category_id']], with_run_lengths(entry, images, 'Annotation', entry.get('id')))
                       for entry in here])
    return {cluster: classes[place] for cluster, place in zip(clusters, hungarian_pixels(votes), strict=True)}


def add_votes(votes: np.ndarray, results: Sequence[tuple[int, float, Mapping[str, Any]]],
              objects: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Add the votes of an image's results to `votes` (clusters, classes); see `match_clusters`."""
    overlap = coco_mask.iou([entry['segmentation'] for _, _, entry in results],
                            [entry['segmentation'] for _, entry in objects], [0] * len(objects))
    best = overlap.argmax(axis=1)
    for (cluster, score, _), place, iou in zip(results, best, overlap.max(axis=1), strict=True):
        votes[cluster, objects[place][0]] += score * iou

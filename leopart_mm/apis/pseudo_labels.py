"""Predicted instances of many images to label maps in a folder; what `tools/generate_pseudo_labels.py` does.

Source: docs/methods/maskdistill.md §7.
"""

import json
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from leopart_mm.apis.image_inputs import ImageList
from leopart_mm.apis.image_run import ImageRun, Report
from leopart_mm.apis.predicted_images import PredictedImage, PredictionFile, size_of
from leopart_mm.datasets.coco_json import write_coco
from leopart_mm.datasets.image_reading import ImageReadError, image_size, read_image
from leopart_mm.datasets.labelled_images import LABELS, LIST
from leopart_mm.datasets.output_marks import claim_pictures, mark_outputs, refuse_strangers
from leopart_mm.evaluation.coco_ap import average_precision
from leopart_mm.evaluation.label_writer import read_labels
from leopart_mm.files import printable, shorten, write_image_whole, write_text_whole
from leopart_mm.fingerprints import file_fingerprint
from leopart_mm.folder_lock import lock_folder
from leopart_mm.masks.instance_shapes import SHAPES, instance_box, instance_mask
from leopart_mm.masks.merging import ORDERS, OVERLAPS, merge_instances, select_instances
from leopart_mm.palette import pascal_colours
from leopart_mm.progress import progress
from leopart_mm.visualization.overlay import overlay
from leopart_mm.worker_processes import Workers

SELECTED, REPORT = 'selected.json', 'report.json'
UNPREDICTED = ('leave_out', 'ignore')
IGNORE = 255


@dataclass(frozen=True)
class LabelSettings:
    """What decides label maps beside the predictions.

    Args:
        threshold: See `select_instances`; the published script gives 0.9.
        order: See `select_instances`; published: 'file'.
        overlap: See `merge_instances`; published: 'published'.
        shape: What counts as the pixels of an instance: 'mask', 'box' or 'grabcut'.
        unpredicted: Images without any prediction: 'leave_out' gives them no map, 'ignore' one that is 255 everywhere.

    Raises:
        ValueError: If a value is unknown, or the threshold is none.
    """

    threshold: float = 0.9
    order: str = 'score'
    overlap: str = 'first_wins'
    shape: str = 'mask'
    unpredicted: str = 'leave_out'

    def __post_init__(self) -> None:
        if not isinstance(self.threshold, int | float) or not self.threshold == self.threshold:
            raise ValueError(f'threshold={self.threshold!r}: give a number, scores lie in 0..1.')
        for name, known in (('order', ORDERS), ('overlap', OVERLAPS), ('shape', SHAPES), ('unpredicted', UNPREDICTED)):
            if getattr(self, name) not in known:
                raise ValueError(f'{name}={getattr(self, name)!r} is unknown; known are: {", ".join(known)}.')


class LabelReport(Report):
    """What happened to the images.

    Attributes:
        num_categories: Number of categories; the labels of the maps are 0 to this number.
        instances: Number of predictions.
        selected: Number of those that were sure enough.
        below: Number of images of whose predictions none reaches the threshold, so that one is kept all the same.
        without: Names of the images without a prediction.
        other_sizes: Names of images whose files have another size than their predictions.
        background: Share of the pixels of all maps that are background; NaN without a map.
        box_ap50: AP at IoU 0.5 of the boxes of the selection, 0..1; None without a ground truth.
    """

    def __init__(self) -> None:
        super().__init__()
        self.num_categories = self.instances = self.selected = self.below = 0
        self.without: list[str] = []
        self.other_sizes: list[str] = []
        self.background = float('nan')
        self.box_ap50: float | None = None

    def summary(self) -> str:
        """The report in words."""
        parts = [f'{self.num_done} label maps made' + f' ({self.num_replaced} of them again)' * bool(self.num_replaced)
                 + f', {self.num_present} were there already' * bool(self.num_present),
                 f'{self.selected} of {self.instances} predictions selected']
        if self.below:
            parts.append(f'{self.below} images have none above the threshold and keep their best')
        if self.without:
            parts.append(f'{len(self.without)} images without a prediction ({shorten(map(printable, self.without))})')
        if self.other_sizes:
            parts.append(f'{len(self.other_sizes)} images have another size than their predictions '
                         f'({shorten(map(printable, self.other_sizes))}): are these the same images?')
        if self.others:
            parts.append(f'{len(self.others)} maps of earlier runs are of none of these images '
                         f'({shorten(map(printable, self.others))})')
        if self.corrupt:
            parts.append(f'{len(self.corrupt)} images could not be read: '
                         + '; '.join(f'{printable(path)} ({reason})' for path, reason in self.corrupt))
        if self.background == self.background:
            parts.append(f'{100 * self.background:.1f} % of the pixels are background')
        if self.box_ap50 is not None:
            parts.append(f'box AP50 of the selection {100 * self.box_ap50:.2f} % (classes as they are named)')
        return '; '.join(parts) + '.'


def generate_pseudo_labels(predictions: str | os.PathLike, images: str | os.PathLike, out: str | os.PathLike,
                           settings: LabelSettings | None = None, gt: str | os.PathLike | None = None,
                           num_classes: int | None = None, workers: int = 0, overwrite: bool = False,
                           show_dir: str | os.PathLike | None = None) -> LabelReport:
    """Make the label map of every image: 0 is background, 1 + category an instance.

    Written below `out`: ``labels/<name>.png`` (8-bit grey, at the size of the predictions), ``images.txt`` (the names
    of images with a map, for training), ``selected.json`` (the selection, a COCO JSON) and ``report.json``. An
    interrupted run resumes.

    Args:
        predictions: See `PredictionFile.read`.
        images: Folder of the images.
        out: Output folder; made if it does not exist.
        settings: See LabelSettings.
        gt: COCO JSON that lists the images; its annotations give the box AP of the selection.
        num_classes: Number of categories; None: those of `gt` or of the predictions' file, else at most 254.
        workers: Processes beside this one; the result does not depend on it.
        overwrite: Take over a folder with maps of other predictions or settings, and make all again.
        show_dir: Folder for a picture of each map over its image. Pictures that no run wrote there stay.

    Raises:
        FileNotFoundError: If a file or an image is missing.
        FolderInUseError: If another run writes there.
        ValueError: If a prediction cannot be used, or an output would replace something else; the message says which
            and why.
    """
    settings = settings or LabelSettings()
    found = PredictionFile.read(predictions, images, gt, num_classes)
    out = Path(out).expanduser()
    lock = lock_folder(out)
    refuse_strangers(out, [LIST, SELECTED, REPORT])
    made_of = dict(asdict(settings), predictions=file_fingerprint(found.path))
    run = ImageRun(out / LABELS, made_of, overwrite=overwrite, refusal=lambda before: (
        f'{printable(out)} holds label maps of other predictions, or made with other settings.'))
    mark_outputs(out, [LABELS, LIST, SELECTED, REPORT])
    report = LabelReport()
    report.num_categories = found.num_categories
    chosen = _select(found.images, settings, report)
    with_map = [image for image in found.images if chosen[image.name] or settings.unpredicted == 'ignore']
    pictures = None if show_dir is None else Path(show_dir).expanduser()
    if pictures is not None:
        claim_pictures(pictures, [f'{image.name}.jpg' for image in with_map], [image.path for image in found.images])
    run.start(ImageList([image.path for image in with_map], [image.name for image in with_map]), report)
    _make(run, with_map, chosen, settings, workers)
    made = [image for image in with_map if run.index.records.get(image.name, {}).get('source')]
    _sum_up(run, made, report)
    write_text_whole(out / LIST, ''.join(f'{image.name}\n' for image in made))
    _write_selection(out / SELECTED, found, chosen, report)
    if pictures is not None:
        _draw(run, made, pictures)
    content = dict(settings=made_of, images=len(found.images), maps=len(made),
                   num_categories=report.num_categories, predictions=report.instances,
                   selected=report.selected, below_threshold=report.below, without_prediction=report.without,
                   other_sizes=report.other_sizes, background=None if report.background != report.background
                   else report.background, box_ap50=report.box_ap50, unreadable=[list(pair) for pair in report.corrupt])
    write_text_whole(out / REPORT, json.dumps(content, indent=1) + '\n')
    del lock
    return report


def make_labels(settings: LabelSettings, task: tuple[PredictedImage, Sequence[int]]
                ) -> tuple[np.ndarray, bool] | ImageReadError:
    """The label map of one image, and whether its file has another size; or why the file cannot be read.

    Args:
        settings: See LabelSettings.
        task: The image, and which of its predictions count, the most certain first.

    Raises:
        ValueError: If a prediction cannot be used; the message names image and prediction.
    """
    image, chosen = task
    pixels = None
    try:
        size = size_of(image)
        seen = image_size(image.path)
        if settings.shape == 'grabcut' and chosen:
            pixels = read_image(image.path, 'rgb')
            seen = pixels.shape[:2]
            if seen != size:
                raise ValueError(f'{printable(image.path)} has {seen[0]} x {seen[1]} pixels, its predictions are of '
                                 f'{size[0]} x {size[1]} (height x width): GrabCut needs the very image.')
    except ImageReadError as error:
        return error
    if not image.predictions:
        return np.full(size, IGNORE, np.uint8), seen not in (None, size)
    return merge_instances(_masks(image, chosen, size, settings.shape, pixels),
                           [int(image.predictions[index]['category_id']) for index in chosen], size,
                           settings.overlap), seen not in (None, size)


def _masks(image: PredictedImage, chosen: Sequence[int], size: tuple[int, int], shape: str,
           pixels: np.ndarray | None) -> Iterator[np.ndarray]:
    for index in chosen:
        try:
            yield instance_mask(image.predictions[index], size, shape, pixels)
        except (ValueError, KeyError) as error:
            raise ValueError(f'Prediction {index} of image {image.image_id!r} ({printable(image.path)}) cannot be '
                             f'used: {error}.') from error


def _select(images: Sequence[PredictedImage], settings: LabelSettings, report: LabelReport) -> dict[str, list[int]]:
    """Name -> positions of the predictions that count."""
    chosen = {}
    for image in images:
        scores = [float(entry.get('score', 1.)) for entry in image.predictions]
        try:
            chosen[image.name] = select_instances(scores, settings.threshold, settings.order)
        except ValueError as error:
            raise ValueError(f'Image {image.image_id!r} ({printable(image.path)}): {error}') from error
        report.instances += len(scores)
        report.selected += len(chosen[image.name])
        if not scores:
            report.without.append(image.name)
        elif scores[chosen[image.name][0]] < settings.threshold:
            report.below += 1
    return chosen


def _make(run: ImageRun, images: Sequence[PredictedImage], chosen: Mapping[str, list[int]], settings: LabelSettings,
          workers: int) -> None:
    """Make the maps that are missing."""
    report = run.report
    pending = [image for image in images if not run.has(image.name, image.path)]
    report.num_present = len(images) - len(pending)
    running: deque[tuple[PredictedImage, dict]] = deque()

    def tasks() -> Iterator[tuple]:
        for image in pending:
            running.append((image, run.index.source(image.path)))
            yield image, chosen[image.name]

    with Workers(partial(make_labels, settings), workers if len(pending) > 1 else 0) as pool:
        for result in progress(pool.map(tasks()), 'Making label maps', len(pending), time_left=True):
            image, source = running.popleft()
            if isinstance(result, ImageReadError):
                report.corrupt.append((result.path, result.reason))
                run.index.begin(image.name)
                run.file(image.name).unlink(missing_ok=True)
                continue
            labels, other_size = result
            facts = dict(pixels=labels.size, background=int((labels == 0).sum()), other_size=bool(other_size))
            run.keep(image.name, source, partial(_write, labels=labels), facts)


def _write(file: Path, labels: np.ndarray) -> None:
    write_image_whole(file, labels)


def _sum_up(run: ImageRun, made: Sequence[PredictedImage], report: LabelReport) -> None:
    facts = {image.name: run.index.records[image.name]['facts'] for image in made}
    pixels = sum(entry['pixels'] for entry in facts.values())
    report.background = sum(entry['background'] for entry in facts.values()) / pixels if pixels else float('nan')
    report.other_sizes = [name for name, entry in facts.items() if entry['other_size']]


def _write_selection(file: Path, found: PredictionFile, chosen: Mapping[str, list[int]], report: LabelReport) -> None:
    """Write the selection as a COCO JSON, and score its boxes if there is a ground truth."""
    images, selection = [], []
    for image in found.images:
        try:
            height, width = size_of(image)
        except ImageReadError:
            continue  # it has no prediction, and cannot be read
        images.append(dict(id=image.image_id, file_name=f'{image.name}{Path(image.path).suffix}', height=height,
                           width=width))
        for index in chosen[image.name]:
            entry = image.predictions[index]
            box = instance_box(entry, (height, width))
            selection.append(dict(dict(score=1., bbox=box, area=box[2] * box[3], iscrowd=0) | entry,
                                  id=len(selection) + 1))
    categories = found.categories or [dict(id=number, name=f'category {number}')
                                      for number in sorted({entry['category_id'] for entry in selection})]
    write_coco(file, images, selection, categories)
    if found.truth:
        scored = average_precision(images, found.truth, selection, [entry['id'] for entry in categories])
        report.box_ap50 = scored['AP50']


def _draw(run: ImageRun, made: Sequence[PredictedImage], folder: Path) -> None:
    """Paint the maps over their images, where there is no newer picture."""
    colours = pascal_colours(256)
    for image in progress(made, 'Drawing', len(made)):
        picture, labels = folder / f'{image.name}.jpg', run.file(image.name)
        if not picture.is_file() or picture.stat().st_mtime_ns < labels.stat().st_mtime_ns:
            write_image_whole(picture, overlay(read_image(image.path, 'rgb'), read_labels(labels), colours, ignore=0))

"""The page of a run of MaskDistill: what every stage gave, in numbers and on the same images."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leopart_mm.apis.label_scores import LABELS
from leopart_mm.apis.maskdistill_run import (
    ANNOTATIONS,
    CLUSTERED,
    CLUSTERS,
    DETECTOR,
    FILES,
    INSTANCES,
    MAPS,
    MASK_SCORES,
    MASKS,
    PREDICTIONS,
    REPORT,
    SCORES,
    SUPPORT,
    TRUTH,
    MaskDistillRun,
    labels_stage,
    scores_stage,
)
from leopart_mm.apis.stages import Outcome
from leopart_mm.datasets.coco_json import read_coco
from leopart_mm.datasets.image_reading import ImageReadError, read_image
from leopart_mm.datasets.mask_reading import read_mask
from leopart_mm.evaluation.report import MATCHING_NAMES
from leopart_mm.files import write_text_whole
from leopart_mm.masks.instance_shapes import segmentation_mask
from leopart_mm.palette import pascal_colours
from leopart_mm.visualization import html
from leopart_mm.visualization.overlay import fit_side, overlay
from leopart_mm.visualization.panels import row

SHOWN, SIDE = 8, 240  # images on the page, and their longest side
TITLES = {TRUTH: 'objects of the ground truth', SUPPORT: 'masks of the support set', MASKS: 'object masks',
          MASK_SCORES: 'their IoU with the foreground',
          CLUSTERS: 'clusters of masks', DETECTOR: 'Mask R-CNN', PREDICTIONS: 'its predictions',
          INSTANCES: 'scores of its predictions'}
# Results that are shown in the table, in words; the others are in scores.json.
IN_WORDS = dict(
    images='images', masks='masks', without_masks='images without an object',
    filled='images that a mask fills', scored_images='images with a foreground', mask_iou='IoU with the foreground, %',
    whole_image_iou='IoU of whole images, %', masks_per_cluster='masks per cluster', support_masks='of the support set',
    accuracy='accuracy, %', nmi='NMI, %', ari='ARI, %', box_ap50='box AP50, %', objects='objects',
    instances='instances', images_without='images without an instance', predictions='predictions',
    selected='selected', below='images of whose predictions none reaches the threshold, so that the best is taken',
    AP50_multi='mask AP50 multi, %', AP50_single='mask AP50 single, %',
    AP50_multi_agnostic='mask AP50 multi without classes, %',
    AP50_single_agnostic='mask AP50 single without classes, %',
    maps='label maps', without_prediction='images without a prediction', unreadable='unreadable images',
    mIoU='mIoU over all classes, %', mIoU_occurring='mIoU over the classes that occur, %',
    aAcc='pixel accuracy, %', background='background, % of the pixels',
    scored_maps='maps with a ground truth', checkpoint='checkpoint', selected_by='chosen by')


def title_of(stage: str, crf: bool = True) -> str:
    """What a stage makes, in words.

    Args:
        stage: Its name.
        crf: Whether DeepLab's labels go through a CRF.

    >>> title_of('labels_1', crf=False)
    'label maps 1, of DeepLab 0'
    """
    kind, _, number = stage.rpartition('_')
    if stage in TITLES:
        return TITLES[stage]
    source = 'of the detector' if number == '0' else f'of DeepLab {int(number) - 1}' + ' and the CRF' * crf
    return dict(labels=f'label maps {number}, {source}', deeplab=f'DeepLab {number}, trained on label maps {number}',
                scores=f'DeepLab {number} on test images')[kind]


def scores_of(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Results of all stages by name, as JSON holds them."""
    return {name: outcome.result for name, outcome in outcomes.items()}


def write_report(run: MaskDistillRun, outcomes: Mapping[str, Outcome]) -> Path:
    """Write ``report.html`` into the folder of a run, and return it.

    The page holds what every stage gave; the same training images after each stage; examples of the clusters; test
    images after each DeepLab.

    Args:
        run: The run.
        outcomes: What its stages gave.
    """
    crf = run.settings.crf is not None
    rows = [(title_of(name, crf), *_cells(outcome.result)) for name, outcome in outcomes.items()]
    parts: list[object] = [html.bullets(_about(run)), html.table(('stage', 'what it gave'), rows)]
    if run.truth is not None:
        parts += [html.heading('How these numbers are made'), html.bullets(_protocol(run))]
    pictures = _chain_pictures(run)
    if pictures:
        parts += [html.heading('The same images after each stage'),
                  html.paragraph('Black outlines part labels; the label 0, background, is not painted.'), _legend(run),
                  *[html.figure(picture, name, lossless=False) for name, picture in pictures]]
    clusters = run.folder / CLUSTERS / 'clusters.jpg'
    if clusters.is_file():
        parts += [html.heading('Clusters of masks'), html.image(clusters, 'crops of each cluster')]
    for number in range(run.settings.rounds + 1):
        parts += _test_pictures(run.folder / scores_stage(number) / 'pictures', title_of(scores_stage(number)))
    file = run.folder / REPORT
    html.write_page(file, 'MaskDistill', *parts)
    return file


def _about(run: MaskDistillRun) -> list[str]:
    truth = run.truth
    lines = [f'{len(run.train_images.names)} images; {run.configs.num_categories} categories beside background; '
             f'rounds of label maps by DeepLab: {run.settings.rounds}.',
             'Each image gives one mask of an object; the masks are clustered, and the clusters are the categories. '
             'Mask R-CNN learns masks and categories and predicts several sure or unsure instances per image, which '
             'become a label map. DeepLab learns the label maps.']
    if truth is None:
        lines.append('There is no ground truth: categories are the ids of clusters, nothing is scored, and the last '
                     'checkpoint of each training counts.')
    else:
        lines.append('Clusters are named by the ground truth, and labels are compared as they are named (identity '
                     'matching).')
        if truth.objects == 'components':
            lines.append('Objects are the connected components of the classes, for want of maps of objects: AP50 '
                         'cannot be compared with published numbers.')
    return lines


def _protocol(run: MaskDistillRun) -> list[str]:
    """What the scores are, in words."""
    truth = run.truth
    return [
        f'IoU with the foreground: of the mask of an image and all pixels of {truth.class_maps} that are neither '
        'background nor 255 (ignored), the mean over the images that have some; that of whole images is what masks '
        'without any knowledge would have.',
        'Accuracy, NMI and ARI of clusters: over the masks, whose class is that of the object whose box overlaps '
        'theirs most. Clusters are named once, by Hungarian matching on the number of right masks, or by majority '
        'where there are more clusters than classes.',
        f'Mask AP50: average precision at IoU 0.5, by pycocotools, over the images of {", ".join(truth.lists)}, at '
        'most 100 instances per image. multi: all instances against all objects. single: the surest instance of an '
        'image against the object that its box overlaps most; images without an instance do not count. Without '
        'classes: any category may match any object.',
        'mIoU of label maps: over the training images, at the size of the images; '
        f'{MATCHING_NAMES[run.matching]}, since labels have the names of their clusters; over background and all '
        f'{run.configs.num_categories} classes, of which those without a pixel count as 0; 255 is ignored.',
        'mIoU of DeepLab: likewise over the test images; over the classes that occur: the mean over those that their '
        'ground truth holds.']


def _legend(run: MaskDistillRun) -> html.Markup:
    """The colours of the categories."""
    categories = read_coco(run.folder / CLUSTERS / CLUSTERED).categories
    colours = pascal_colours(256)
    return html.paragraph(html.Markup(' '.join(
        f'{html.swatch(colours[entry["id"] + 1])}{html.escape(entry["name"])}' for entry in categories)))


def _cells(result: Mapping[str, Any] | None) -> tuple[str]:
    result = result or {}
    shown = [f'{words}: {_number(result[key])}' for key, words in IN_WORDS.items() if result.get(key) is not None]
    return ('; '.join(shown), )


def _number(value: Any) -> str:
    if isinstance(value, list):
        return ', '.join(map(_number, value))
    return f'{value:.2f}'.removesuffix('.00') if isinstance(value, float) else str(value)


def _chain_pictures(run: MaskDistillRun) -> list[tuple[str, np.ndarray]]:
    """Of some training images: the image, its mask, its label map of each round, and the ground truth."""
    names = run.train_images.names
    chosen = sorted({round(place) for place in np.linspace(0, len(names) - 1, min(SHOWN, len(names)))})
    masks = read_coco(run.folder / MASKS / FILES / ANNOTATIONS)
    listed = {image['file_name']: image['id'] for image in masks.images}
    of_image = masks.by_image()
    colours, pictures = pascal_colours(256), []
    for index in chosen:
        name, path = names[index], Path(run.train_images.images[index])
        file_name = Path(os.path.relpath(path, run.settings.images)).as_posix()
        try:
            pixels = read_image(path, 'rgb')
        except ImageReadError:
            continue
        columns = dict(image=fit_side(pixels, SIDE))
        found = np.zeros(pixels.shape[:2], np.uint8)
        for entry in of_image.get(listed.get(file_name), ()):
            mask = segmentation_mask(entry['segmentation'], pixels.shape[:2])
            found[mask.astype(bool)] = 1
        columns['mask'] = np.where(fit_side(found, SIDE, labels=True)[..., None] > 0, columns['image'],
                                   columns['image'] // 5)
        maps = {f'label map {number}': run.folder / labels_stage(number) / MAPS / LABELS / f'{name}.png'
                for number in range(run.settings.rounds + 1)}
        if run.class_maps is not None:
            maps['ground truth'] = run.class_maps / f'{name}.png'
        for title, file in maps.items():
            if file.is_file():
                labels = fit_side(read_mask(file), SIDE, labels=True)
                columns[title] = overlay(columns['image'], np.where(labels == 255, 0, labels), colours, ignore=0)
        pictures.append((name, row(columns)))
    return pictures


def _test_pictures(folder: Path, title: str) -> Sequence[object]:
    files = sorted(path for path in folder.glob('*') if path.suffix in ('.png', '.jpg') and path.stem not in (
        'sheet', 'legend', 'classes'))[:SHOWN] if folder.is_dir() else []
    return [html.heading(title), *[html.figure(file, file.stem, lossless=False) for file in files]] if files else []


def write_scores(run: MaskDistillRun, outcomes: Mapping[str, Outcome]) -> Path:
    """Write ``scores.json``, the results of all stages, and return it."""
    file = run.folder / SCORES
    write_text_whole(file, json.dumps(scores_of(outcomes), indent=1) + '\n')
    return file

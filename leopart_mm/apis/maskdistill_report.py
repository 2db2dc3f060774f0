"""The page of a run of MaskDistill: what every stage gave, in numbers and on the same images."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leopart_mm.apis.label_scores import LABELS
from leopart_mm.apis.maskdistill_run import (
    ANNOTATIONS,
    CLUSTERS,
    DETECTOR,
    FILES,
    INSTANCES,
    MAPS,
    MASKS,
    PREDICTIONS,
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
from leopart_mm.files import write_text_whole
from leopart_mm.masks.instance_shapes import segmentation_mask
from leopart_mm.palette import pascal_colours
from leopart_mm.visualization import html
from leopart_mm.visualization.overlay import fit_side, overlay
from leopart_mm.visualization.panels import row

SHOWN, SIDE = 8, 240  # images on the page, and their longest side
TITLES = {TRUTH: 'objects of the ground truth', SUPPORT: 'masks of the support set', MASKS: 'object masks',
          CLUSTERS: 'clusters of masks', DETECTOR: 'Mask R-CNN', PREDICTIONS: 'its predictions',
          INSTANCES: 'scores of its predictions'}
# Results that are shown in the table, in words; the others are in scores.json.
IN_WORDS = dict(
    images='images', masks='masks', without_masks='images without an object', mask_iou='IoU with the foreground, %',
    accuracy='accuracy, %', nmi='NMI, %', ari='ARI, %', box_ap50='box AP50, %', objects='objects',
    instances='instances', images_without='images without an instance', predictions='predictions',
    AP50_multi='mask AP50 multi, %', AP50_single='mask AP50 single, %',
    AP50_multi_agnostic='mask AP50 multi without classes, %',
    AP50_single_agnostic='mask AP50 single without classes, %',
    maps='label maps', without_prediction='images without a prediction', unreadable='unreadable images',
    mIoU='mIoU over all classes, %', mIoU_occurring='mIoU over the classes that occur, %',
    aAcc='pixel accuracy, %', matching='names', checkpoint='checkpoint', selected_by='chosen by')


def title_of(stage: str) -> str:
    """What a stage makes, in words."""
    kind, _, number = stage.rpartition('_')
    if stage in TITLES:
        return TITLES[stage]
    source = 'of the detector' if number == '0' else f'of DeepLab {int(number) - 1} and the CRF'
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
    rows = [(title_of(name), *_cells(outcome.result)) for name, outcome in outcomes.items()]
    parts: list[object] = [html.bullets(_about(run)), html.table(('stage', 'what it gave'), rows)]
    pictures = _chain_pictures(run)
    if pictures:
        parts += [html.heading('The same images after each stage'),
                  html.paragraph('Black outlines part labels; the label 0, background, is not painted.'),
                  *[html.image(picture, name) for name, picture in pictures]]
    clusters = run.folder / CLUSTERS / 'clusters.jpg'
    if clusters.is_file():
        parts += [html.heading('Clusters of masks'), html.image(clusters, 'crops of each cluster')]
    for number in range(run.settings.rounds + 1):
        parts += _test_pictures(run.folder / scores_stage(number) / 'pictures', title_of(scores_stage(number)))
    file = run.folder / 'report.html'
    html.write_page(file, 'MaskDistill', *parts)
    return file


def _about(run: MaskDistillRun) -> list[str]:
    truth = run.truth
    lines = [f'{len(run.train_images.names)} images; {run.configs.num_categories} categories; '
             f'{run.settings.rounds} rounds of label maps by DeepLab']
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


def _cells(result: Mapping[str, Any] | None) -> tuple[str]:
    result = result or {}
    shown = [f'{words}: {_number(result[key])}' for key, words in IN_WORDS.items() if result.get(key) is not None]
    return ('; '.join(shown), )


def _number(value: Any) -> str:
    return f'{value:.2f}'.removesuffix('.00') if isinstance(value, float) else str(value)


def _chain_pictures(run: MaskDistillRun) -> list[tuple[str, np.ndarray]]:
    """Of some training images: the image, its mask, its label map of each round, and the ground truth."""
    names = run.train_images.names
    chosen = sorted({round(place) for place in np.linspace(0, len(names) - 1, min(SHOWN, len(names)))})
    masks = read_coco(run.folder / MASKS / FILES / ANNOTATIONS)
    listed = {image['file_name'].rpartition('.')[0]: image['id'] for image in masks.images}
    of_image = masks.by_image()
    colours, pictures = pascal_colours(256), []
    for index in chosen:
        name = names[index]
        try:
            pixels = read_image(Path(run.train_images.images[index]), 'rgb')
        except ImageReadError:
            continue
        columns = dict(image=fit_side(pixels, SIDE))
        found = np.zeros(pixels.shape[:2], np.uint8)
        for entry in of_image.get(listed.get(name), ()):
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
        'sheet', 'legend'))[:SHOWN] if folder.is_dir() else []
    return [html.heading(title), *[html.image(file, file.stem) for file in files]] if files else []


def write_scores(run: MaskDistillRun, outcomes: Mapping[str, Outcome]) -> Path:
    """Write ``scores.json``, the results of all stages, and return it."""
    file = run.folder / 'scores.json'
    write_text_whole(file, json.dumps(scores_of(outcomes), indent=1) + '\n')
    return file

"""Segments as annotations in COCO's form; and packed for CVAT."""

import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leopart_mm.datasets.coco_json import write_coco
from leopart_mm.exports.job import ExportJob
from leopart_mm.files import write_text_whole, write_whole

INFO = 'Segments found without labels by leopart_mm (tools/export_segments.py)'


def export_coco(job: ExportJob, folder: Path) -> None:
    """Write ``coco.json``.

    Images and annotations are numbered from 1, and a category has the number of its first cluster plus 1, which does
    not change when others are renamed; its ``clusters`` lists them all. Images without a segment are kept. Masks are
    compressed run lengths; ``info.image_root`` is the folder that file names are relative to.

    Raises:
        OSError: If it cannot be written.
    """
    _write(job, folder / 'coco.json')


def export_cvat(job: ExportJob, folder: Path) -> None:
    """Write ``cvat/labels.json`` (the labels of a task, to be pasted as "Raw") and ``cvat/coco.zip``.

    The archive is what CVAT imports as "COCO 1.0" into a task with these images; ``cvat/instances_default.json`` is
    its content.

    Raises:
        OSError: If a file cannot be written.
    """
    folder /= 'cvat'
    entries = [dict(name=category.name, color=category.hex_colour, type='mask', attributes=[])
               for category in job.categories.entries]
    write_text_whole(folder / 'labels.json', json.dumps(entries, indent=1) + '\n')
    _write(job, folder / 'instances_default.json')
    with write_whole(folder / 'coco.zip') as file, zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / 'instances_default.json', 'annotations/instances_default.json')


def _write(job: ExportJob, file: Path) -> None:
    images = [dict(id=number, file_name=job.folder.file_name(image), height=height, width=width)
              for number, (image, (height, width)) in enumerate(job.sizes(), 1)]
    info = dict(description=INFO, image_root=os.path.abspath(job.folder.root))
    write_coco(file, images, _annotations(job), coco_categories(job), info)


def coco_categories(job: ExportJob) -> list[dict[str, Any]]:
    """The categories, ``name`` and ``colour`` as in the naming file."""
    return [dict(id=category_id(job, number), name=category.name, supercategory='', clusters=list(category.clusters),
                 color=category.hex_colour) for number, category in enumerate(job.categories.entries)]


def category_id(job: ExportJob, number: int) -> int:
    """The id of a category in COCO's form, which counts from 1."""
    return job.categories.entries[number].first + 1


def _annotations(job: ExportJob) -> Iterator[dict[str, Any]]:
    number = 0
    for image_id, (_, segments) in enumerate(job.segments('COCO'), 1):
        for index in range(len(segments)):
            number += 1
            yield dict(id=number, image_id=image_id, category_id=category_id(job, int(segments.categories[index])),
                       iscrowd=0, area=int(segments.areas[index]), bbox=list(segments.box(index)),
                       segmentation=segments.run_lengths(index))

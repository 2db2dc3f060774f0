"""export_folder: what tools/segment_folder.py wrote, in the formats of other programs."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from leopart_mm.datasets.output_marks import FOLDER_OUTPUTS, mark_outputs
from leopart_mm.exports.categories import Categories
from leopart_mm.exports.coco import export_coco, export_cvat
from leopart_mm.exports.earlier import EXPORTS, earlier_exports, export_state, note_export
from leopart_mm.exports.geojson import export_geojson, geojson_file
from leopart_mm.exports.geotiff import export_geotiff
from leopart_mm.exports.job import ExportJob, NothingToExportError
from leopart_mm.exports.label_studio import export_label_studio
from leopart_mm.exports.segmented_folder import SegmentedFolder
from leopart_mm.files import printable, shorten
from leopart_mm.folder_lock import lock_folder
from leopart_mm.written_files import WrittenFiles


@dataclass(frozen=True)
class Format:
    """A format.

    Args:
        write: Writes its files into a folder.
        files: The files that it may write there, of images of such names.
    """

    write: Callable[[ExportJob, Path], None]
    files: Callable[[Sequence[str]], list[str]]


FORMATS = dict(
    coco=Format(export_coco, lambda names: ['coco.json']),
    cvat=Format(export_cvat, lambda names: ['cvat/labels.json', 'cvat/instances_default.json', 'cvat/coco.zip']),
    label_studio=Format(export_label_studio, lambda names: ['label_studio/tasks.json', 'label_studio/interface.xml']),
    geojson=Format(export_geojson, lambda names: [geojson_file(name) for name in names]),
    geotiff=Format(export_geotiff, lambda names: [f'geotiff/{name}.tif' for name in names]))


@dataclass
class ExportReport:
    """What was exported.

    Args:
        num_images: Number of images.
        categories: Names of the categories.
        files: The files of each format.
        left_out: Name and reason of label maps that were not exported.
        notes: What else the user should know.
    """

    num_images: int
    categories: list[str]
    files: dict[str, list[Path]] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """The report in words."""
        lines = [f'{self.num_images} images, {len(self.categories)} categories.']
        for name, files in self.files.items():
            lines.append(f'{name}: {shorten(map(printable, files), 3)}')
        if self.left_out:
            reasons = shorten((f'{printable(name)} ({reason})' for name, reason in self.left_out), 5)
            lines.append(f'{len(self.left_out)} label maps were left out: {reasons}.')
        return '\n'.join(lines + self.notes)


def export_folder(folder: str | os.PathLike, formats: Sequence[str], names: str | os.PathLike | None = None,
                  whole: bool = False, min_area: int = 1, background: bool = False) -> ExportReport:
    """Export the label maps of a folder to ``exports`` in it.

    Names, merged, hidden and background clusters are those of the naming file. Files of an earlier export in the same
    format are replaced, also those of images that are gone.

    Args:
        folder: The output folder of tools/segment_folder.py.
        formats: Names of `FORMATS`. One of several that suits no image (geotiff, photographs) is left out, with a note.
        names: Naming file; None: ``names.yaml`` in the folder, if there is one.
        whole: One segment per category and image; else its connected parts (pixels that share an edge).
        min_area: Smaller segments are left out, in pixels; GeoTIFFs are label maps and keep them.
        background: Export clusters that are marked as background too.

    Raises:
        FileNotFoundError: If there is no such folder or naming file.
        FolderInUseError: If a run writes there.
        ImportError: If a format needs a package that is not installed.
        OSError: If a file cannot be read or written.
        ValueError: If a format is unknown, the folder was written by something else, no image is left, or a label map
            holds labels of no cluster.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ValueError(f'{"No format" if not unknown else f"The format {unknown[0]!r}"} can be exported; known are: '
                         f'{", ".join(FORMATS)}.')
    if min_area < 1:
        raise ValueError(f'min_area={min_area}: a segment has at least 1 pixel.')
    found = SegmentedFolder(folder, names)
    lock = lock_folder(found.folder)
    if not len(found):
        reasons = shorten((f'{printable(name)}: {reason}' for name, reason in found.left_out), 3)
        raise ValueError(f'{printable(found.folder)} holds no label map of an image that is there '
                         f'({reasons or "no map at all"}).')
    job = ExportJob(found, Categories.of(found.names, background), whole, min_area)
    report = ExportReport(len(found), [category.name for category in job.categories.entries], left_out=found.left_out,
                          notes=job.notes)
    mark_outputs(found.folder, FOLDER_OUTPUTS)
    target = found.folder / EXPORTS
    target.mkdir(parents=True, exist_ok=True)
    options = dict(names=names and os.path.abspath(names), whole=whole, min_area=min_area, background=background)
    state = export_state(found.folder, names)
    for name in dict.fromkeys(formats):
        note_export(found.folder, name, None)  # a kill leaves none that passes for a whole one
        files = FORMATS[name].files([image.name for image in found])
        WrittenFiles(target, name).replace(files)
        try:
            FORMATS[name].write(job, target)
        except NothingToExportError as error:
            if len(set(formats)) == 1:
                raise
            report.notes.append(f'{name}: {error}')
            continue
        report.files[name] = [target / file for file in files if (target / file).exists()]
        note_export(found.folder, name, options, state)
    del lock
    return report


def refresh_exports(folder: str | os.PathLike, without: Sequence[str] = ()) -> list[ExportReport]:
    """Export again, with their own options, the formats of earlier exports that show other names or label maps.

    Args:
        folder: As of `export_folder`.
        without: Formats that are left alone: they were exported just now.

    Raises:
        FileNotFoundError: If the naming file of such an export is gone; likewise all of `export_folder`.
    """
    reports = []
    for name, options in earlier_exports(folder).items():
        state = options.pop('state')
        if name in FORMATS and name not in without and state != export_state(folder, options['names']):
            reports.append(export_folder(folder, [name], **options))
    return reports

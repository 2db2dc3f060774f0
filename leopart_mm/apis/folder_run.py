"""Segmenting a folder into a folder: label maps, overlays, legend, names, sheet; goes on where it stopped."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from leopart_mm.apis.image_inputs import ImageInput, ImageList, list_images, load_image, preview
from leopart_mm.apis.inferencer import LeopartInferencer, Report, Segmentation
from leopart_mm.datasets.image_reading import ImageReadError
from leopart_mm.evaluation.label_writer import read_labels, write_labels
from leopart_mm.progress import progress
from leopart_mm.visualization.cluster_sheet import ClusterSheet, legend

MAX_LEGEND = 40


class FolderRun:
    """Segments images into files named after them.

    Written below `out`: ``labels/<name>.png`` (cluster ids, 16-bit where there are more than 256), ``report.json``,
    ``names.yaml`` (a naming file to edit, unless there is one); on request ``overlays/<name>.jpg``, ``legend.png``,
    ``sheet.html``, ``sheet.png``. `<name>` is the path below the folder of the images. Images whose label map is there
    are not segmented again.

    Args:
        inferencer: The model.
        out: Folder; made if it is not there.
        overlays: Write overlays and the legend.
        sheet: Write the cluster sheet.
        overwrite: Segment again what is there.

    Raises:
        ValueError: `out` holds label maps of another model or with other tiles, and `overwrite` is off.
    """

    def __init__(self, inferencer: LeopartInferencer, out: str | os.PathLike, overlays: bool = False,
                 sheet: bool = False, overwrite: bool = False) -> None:
        self.inferencer = inferencer
        self.out = Path(out)
        self.overlays = overlays
        self.sheet = None
        if sheet:
            self.sheet = ClusterSheet(inferencer.num_clusters, inferencer.names, inferencer.communities)
        self.overwrite = overwrite
        self.num_present = 0
        self._claim()

    def _claim(self) -> None:
        """Tie the folder to this model, so that label maps of two models never mix."""
        stamp = dict(model=model_digest(self.inferencer.model), tile_size=self.inferencer.tile_size,
                     overlap=self.inferencer.overlap, max_side=self.inferencer.max_side)
        file = self.out / 'labels' / '.model.json'
        if file.exists() and not self.overwrite and json.loads(file.read_text()) != stamp:
            raise ValueError(f'{self.out} holds label maps of another model, or made with other tiles. Take another '
                             'output folder, or overwrite these (--overwrite).')
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(stamp))

    def run(self, inputs: ImageInput | list[ImageInput]) -> Report:
        """Segment everything; returns what happened. `num_present` counts label maps that were there already."""
        images = list_images(inputs, exclude=self.out)
        names_file = self.out / 'names.yaml'
        pixels = np.zeros(self.inferencer.num_clusters, np.int64)
        for found in progress(self._found(images), 'Segmenting', len(images.images)):
            if found is None:
                continue
            pixels += sum(np.bincount(line, minlength=len(pixels)) for line in found.labels)
            self._write_pictures(found)
        shares = pixels / max(pixels.sum(), 1)
        if not names_file.exists():
            self.inferencer.names.save(names_file, shares)
        self._write_summaries(shares)
        return self.inferencer.report

    def _found(self, images: ImageList) -> Iterator[Segmentation | None]:
        """One result an image, segmented now or read back; None where an image cannot be read."""
        report = self.inferencer.report = Report(num_skipped=images.num_skipped)
        for image, name in zip(images.images, images.names, strict=True):
            file = self.out / 'labels' / f'{name}.png'
            try:
                if file.exists() and not self.overwrite:
                    self.num_present += 1
                    found = self._read_back(image, name, file)
                else:
                    found = self.inferencer.segment(image, name)
                    _write(file, lambda path, labels=found.labels: write_labels(
                        path, labels, self.inferencer.num_clusters))
                    report.num_done += 1
            except ImageReadError as error:
                report.corrupt.append((error.path, error.reason))
                found = None
            yield found
            found = None

    def _read_back(self, image: str, name: str, file: Path) -> Segmentation:
        labels = read_labels(file).astype(np.uint8 if self.inferencer.num_clusters <= 256 else np.uint16)
        needed = self.sheet is not None or self.overlays
        array = load_image(image, self.inferencer.bands) if needed else np.zeros((0, 0, self.inferencer.bands))
        return Segmentation(name, image, labels, self.inferencer.names, array)

    def _write_pictures(self, found: Segmentation) -> None:
        if self.sheet is not None:
            self.sheet.add(preview(found.image, self.inferencer.bands, self.sheet.max_side), found.labels)
        if self.overlays:  # also where there is one: names may have changed
            _write(self.out / 'overlays' / f'{found.name}.jpg',
                   lambda path: cv2.imwrite(str(path), found.overlay()[..., ::-1]))

    def _write_summaries(self, shares: np.ndarray) -> None:
        if self.overlays and shares.any():
            group_of, names = self.inferencer.names.merged()
            totals = np.bincount(group_of, shares, len(names.names))
            largest = [label for label in np.argsort(-totals, kind='stable')[:MAX_LEGEND] if totals[label] > 0]
            cv2.imwrite(str(self.out / 'legend.png'), legend(names, largest, totals)[..., ::-1])
        if self.sheet is not None and self.sheet.num_images:
            self.sheet.save_html(self.out / 'sheet.html')
            cv2.imwrite(str(self.out / 'sheet.png'), self.sheet.picture()[..., ::-1])
        report = self.inferencer.report
        (self.out / 'report.json').write_text(json.dumps(
            dict(segmented=report.num_done, present=self.num_present, skipped=report.num_skipped,
                 corrupt=[dict(path=path, reason=reason) for path, reason in report.corrupt],
                 shares=[round(float(share), 6) for share in shares]), indent=1) + '\n')


def model_digest(model) -> str:
    """A short fingerprint of a model's numbers."""
    digest = hashlib.blake2b(digest_size=12)
    for key, value in model.state_dict().items():
        digest.update(key.encode())
        digest.update(value.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()


def _write(file: Path, write) -> None:
    """Write a file in one step: what is there is whole, which is what going on relies on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f'.{os.getpid()}.{file.name}')
    try:
        write(temporary)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)

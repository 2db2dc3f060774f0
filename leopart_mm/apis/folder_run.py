"""Segmenting a folder into a folder: label maps, overlays, legend, names, sheet; an interrupted run resumes."""

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from leopart_mm.apis.image_inputs import ImageInput, ImageList, list_images, preview
from leopart_mm.apis.image_run import ImageRun, Report
from leopart_mm.apis.inferencer import LeopartInferencer, Segmentation, model_digest
from leopart_mm.datasets.band_reading import read_bands
from leopart_mm.datasets.output_marks import FOLDER_OUTPUTS, mark_outputs, refuse_images_among, refuse_strangers
from leopart_mm.evaluation.label_free import describe_labels
from leopart_mm.evaluation.label_writer import no_data_label, read_labels, write_labels
from leopart_mm.exports.earlier import remove_exports
from leopart_mm.files import printable, write_image_whole, write_palette_whole, write_text_whole
from leopart_mm.fingerprints import text_fingerprint
from leopart_mm.folder_lock import lock_folder
from leopart_mm.progress import progress
from leopart_mm.visualization.cluster_names import ClusterNames
from leopart_mm.visualization.cluster_page import ClusterPage
from leopart_mm.visualization.cluster_sheet import legend, legend_labels

MAX_LEGEND = 40
SUMMARIES = ('clusters.html', 'legend.png', 'report.json', 'sheet.html', 'sheet.png')  # sheet.html: of older versions


class FolderRun:
    """Segments images into files named after them.

    Written below `out`: ``labels/<name>.png`` (cluster ids, 16-bit where there are more than 256;
    255, or 65535 of more than 255 clusters, where the image has no data), ``report.json``,
    ``names.yaml`` (a naming file to edit, unless there is one); on request ``overlays/<name>.jpg``, ``legend.png``,
    ``clusters.html`` (to name, merge and hide clusters, see `ClusterPage`), ``sheet.png``. `<name>` is the path below
    the folder of the images. Label maps that were made by this model, with these tiles, from these very images are not
    made again, see `ImageRun`.

    Args:
        inferencer: The model.
        out: Output folder; made if it does not exist.
        overlays: Write overlays and the legend.
        sheet: Write the cluster page and the sheet.
        overwrite: Segment all images again, also where `out` holds label maps of another model.
        read_names: Take names and colours from ``names.yaml`` in `out`, if it exists.

    Attributes:
        description: Of the latest run, see `describe_labels`.

    A ``names.yaml`` of another model does not fit this model's clusters: it is kept as ``names.<model>.yaml``, and
    comes back with its model.

    Raises:
        ValueError: If `out` holds label maps of another model or with other tiles, and `overwrite` is off; if it holds
            files of something else; or if its naming file is wrong.
    """

    def __init__(self, inferencer: LeopartInferencer, out: str | os.PathLike, overlays: bool = False,
                 sheet: bool = False, overwrite: bool = False, read_names: bool = False) -> None:
        self.inferencer = inferencer
        self.out = Path(out).expanduser()
        self.overlays = overlays
        self.model = model_digest(inferencer.model)
        self.names_file = self.out / 'names.yaml'
        settings = dict(model=self.model, tile_size=inferencer.tile_size, overlap=inferencer.overlap,
                        max_side=inferencer.max_side, config=config_digest(inferencer),
                        numbers=[inferencer.value_range and list(inferencer.value_range), inferencer.nodata])
        if getattr(inferencer.model, 'segments', 'blocks') != 'blocks':
            settings['segments'] = inferencer.model.segments
        if inferencer.crf is not None:
            settings['crf'] = asdict(inferencer.crf)
        lock = lock_folder(self.out)  # released at the end of this block; `run` takes it again
        refuse_strangers(self.out, ['report.json', *['overlays', 'legend.png'] * overlays,
                                    *['clusters.html', 'sheet.png'] * sheet])
        self.images = ImageRun(self.out / 'labels', settings, overwrite=overwrite, clear=self._remove_pictures)
        self._before = self.images.index.before or {}
        mark_outputs(self.out, FOLDER_OUTPUTS)
        self._keep_names_of_another_model()
        if read_names and self.names_file.exists():
            inferencer.names = ClusterNames.load(self.names_file, inferencer.num_clusters)
        self.description: dict[str, float] = {}
        self.sheet = ClusterPage(inferencer.num_clusters, inferencer.names, inferencer.communities) if sheet else None
        del lock

    @property
    def num_present(self) -> int:
        """Number of label maps of the latest run that existed already."""
        return self.images.report.num_present

    def _keep_names_of_another_model(self) -> None:
        if self.names_file.exists():
            owner = ClusterNames.model_of(self.names_file) or self._before.get('model')
            if owner in (None, self.model):
                return
            kept = self._names_of(owner)
            os.replace(self.names_file, kept)
            print_log(f'{printable(self.names_file)} names the clusters of another model: it is kept as {kept.name}.',
                      logger='current', level=logging.WARNING)
        if self._names_of(self.model).exists():  # the folder was this model's before
            os.replace(self._names_of(self.model), self.names_file)

    def _names_of(self, model: str) -> Path:
        return self.names_file.with_name(f'names.{model[:8]}.yaml')

    def run(self, inputs: ImageInput | list[ImageInput] | ImageList) -> Report:
        """Segment everything; returns what happened.

        Raises:
            FileNotFoundError: If there is no image.
            OSError: If an output cannot be written.
            ValueError: If an overlay would replace an image.
        """
        images = inputs if isinstance(inputs, ImageList) else list_images(inputs)
        written = [*(f'overlays/{name}.jpg' for name in images.names), 'legend.png'] if self.overlays else []
        refuse_images_among(self.out, written + (['sheet.png'] if self.sheet is not None else []),
                            [image for image in images.images if isinstance(image, str)])
        lock = lock_folder(self.out)
        if not self.images.index.is_claimed():
            raise ValueError(f'{printable(self.out)} was taken over by another run meanwhile.')
        self._summaries_hold = True
        results = self._results(images)
        if self.images.forgotten:
            self._remove_summaries()
        for name in self.images.forgotten:
            self._overlay(name).unlink(missing_ok=True)
        pixels, occurring = (np.zeros(self.inferencer.num_clusters, np.int64) for _ in range(2))
        segmented = 0
        for found in progress(results, 'Segmenting', len(images.images), time_left=True):
            if found is None:
                continue
            counts = found.counts()
            pixels += counts
            occurring += counts > 0
            segmented += 1
            self._write_pictures(found)
        self.description = describe_labels(pixels, occurring, segmented)
        shares = pixels / max(pixels.sum(), 1)
        if not self.names_file.exists():
            self.inferencer.names.save(self.names_file, shares, self.model)
        self._write_summaries(shares)
        self.inferencer.report = self.images.report
        del lock
        return self.images.report

    def _results(self, images: ImageList) -> Iterator[Segmentation | None]:
        return self.images.run(images, self.inferencer.segment, self._write, self._read_back)

    def _write(self, file: Path, found: Segmentation) -> None:
        if self._summaries_hold:  # until a first map changes
            self._remove_summaries()
        write_labels(file, found.labels, self.inferencer.num_clusters)

    def _read_back(self, image: str | np.ndarray, name: str, file: Path) -> Segmentation:
        labels, model = read_labels(file), self.inferencer
        missing = labels == no_data_label(model.num_clusters)
        needed = self.sheet is not None or self.overlays
        array = (read_bands(image, model.bands, model.value_range, model.nodata)[0] if needed
                 else np.zeros((0, 0, model.bands)))
        return Segmentation(name, image if isinstance(image, str) else None, labels, model.names, array,
                            missing if missing.any() else None)

    def _write_pictures(self, found: Segmentation) -> None:
        if self.sheet is not None:
            picture = preview(found.image, self.inferencer.bands, self.sheet.max_side, found.missing)
            self.sheet.add(picture, found.labels, found.missing)
        overlay = self._overlay(found.name)
        if self.overlays:  # also where one exists: names may have changed
            write_image_whole(overlay, found.overlay())
        elif overlay.exists() and overlay.stat().st_mtime_ns < self.images.file(found.name).stat().st_mtime_ns:
            overlay.unlink()  # it shows an older label map

    def _overlay(self, name: str) -> Path:
        return self.out / 'overlays' / f'{name}.jpg'

    def _remove_pictures(self) -> None:
        """Remove pictures of another model: this run may not write them."""
        self._remove_summaries()
        for overlay in (self.out / 'overlays').rglob('*.jpg'):
            overlay.unlink()

    def _remove_summaries(self) -> None:
        """Remove what shows all images together: a run that is killed or writes none leaves none of an older state."""
        self._summaries_hold = False
        for name in SUMMARIES:
            (self.out / name).unlink(missing_ok=True)
        remove_exports(self.out)

    def _write_summaries(self, shares: np.ndarray) -> None:
        if self.overlays and shares.any():
            group_of, names = self.inferencer.names.merged()
            totals = np.bincount(group_of, shares, len(names.names))
            shown = legend_labels(names, totals, MAX_LEGEND) or names.hidden.nonzero()[0]  # every one that occurs
            write_image_whole(self.out / 'legend.png', legend(names, shown, totals))
        if self.sheet is not None and self.sheet.num_images:
            self.sheet.write(self.out / 'clusters.html', shares=shares, model=self.model)
            write_palette_whole(self.out / 'sheet.png', self.sheet.picture())
        report = self.images.report
        content = dict(
            segmented=report.num_done, present=report.num_present, replaced=report.num_replaced,
            skipped=report.num_skipped, others=report.others,
            corrupt=[dict(path=path, reason=reason) for path, reason in report.corrupt],
            shares=[round(float(share), 6) for share in shares], without_ground_truth=self.description)
        write_text_whole(self.out / 'report.json', json.dumps(content, indent=1) + '\n')


def config_digest(inferencer: LeopartInferencer) -> str:
    """A short fingerprint of what decides label maps beside the weights: the model's config and the transforms."""
    text = repr((_without_files(inferencer.config.model.to_dict()), inferencer.transforms))
    return text_fingerprint(text)


def _without_files(config: Any) -> Any:
    """A config without the files that weights were once read from."""
    if isinstance(config, dict):
        return {key: _without_files(value) for key, value in sorted(config.items())
                if key not in ('checkpoint', 'init_cfg', 'pretrained')}
    if isinstance(config, list | tuple):
        return [_without_files(value) for value in config]
    return config

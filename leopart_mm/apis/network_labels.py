"""Labels that a trained network gives its training images, sharpened by a CRF: what the next round trains on.

Source: docs/methods/maskdistill.md §9.
"""

import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from leopart_mm.apis.folder_run import config_digest
from leopart_mm.apis.image_inputs import ImageInput, ImageList, list_images
from leopart_mm.apis.image_run import ImageRun, Report
from leopart_mm.apis.inferencer import LeopartInferencer, mark_missing, model_digest
from leopart_mm.datasets.image_reading import ImageReadError
from leopart_mm.datasets.labelled_images import LABELS, LIST
from leopart_mm.datasets.output_marks import mark_outputs, refuse_strangers
from leopart_mm.evaluation.label_writer import write_labels
from leopart_mm.files import printable, write_text_whole
from leopart_mm.folder_lock import lock_folder
from leopart_mm.geometry.patch_grid import upsample_labels, upsample_scores
from leopart_mm.masks.crf import CRFSettings
from leopart_mm.masks.crf_workers import CRFWorkers
from leopart_mm.progress import progress

REPORT = 'report.json'
SIZES = ('image', 'network')


class LabelRun:
    """Labels of images by a network, into ``out/labels/<name>.png``, 8-bit grey at the size of the image.

    Pixels without data are 255. An interrupted run resumes. ``out/images.txt`` lists the images that have a map,
    ``out/report.json`` sums up.

    Args:
        inferencer: The network, with the transforms of its test.
        out: Output folder; made if it does not exist.
        crf: Settings of the CRF; None: no CRF.
        labels_at: Without CRF: 'image' takes the labels of the logits at the size of the image (bilinear), 'network'
            resizes the labels (nearest), as published.
        workers: Processes for the CRF, beside the one that runs the network; the labels do not depend on it.
        overwrite: Make all maps again, also where `out` holds those of another network or CRF.

    Raises:
        FolderInUseError: If another run writes there.
        ValueError: If `labels_at` is unknown, or `out` holds maps or files of something else.
    """

    def __init__(self, inferencer: LeopartInferencer, out: str | os.PathLike, crf: CRFSettings | None = None,
                 labels_at: str = 'image', workers: int = 0, overwrite: bool = False) -> None:
        if labels_at not in SIZES:
            raise ValueError(f'labels_at={labels_at!r} is unknown; known are: {", ".join(SIZES)}.')
        self.inferencer, self.crf, self.labels_at, self.workers = inferencer, crf, labels_at, workers
        self.out = Path(out).expanduser()
        self._lock = lock_folder(self.out)
        refuse_strangers(self.out, [LIST, REPORT])
        self.settings = dict(model=model_digest(inferencer.model), config=config_digest(inferencer),
                             crf=None if crf is None else asdict(crf), labels_at=None if crf else labels_at)
        self.files = ImageRun(self.out / LABELS, self.settings, overwrite=overwrite, refusal=lambda before: (
            f'{printable(self.out)} holds labels of another network, or made with another CRF.'))
        mark_outputs(self.out, [LABELS, LIST, REPORT])

    def run(self, inputs: ImageInput | Sequence[ImageInput] | ImageList) -> Report:
        """Make the maps that are missing.

        Args:
            inputs: Images, see `list_images` and `named_images`.

        Raises:
            FileNotFoundError: If there is no image.
            OSError: If a map cannot be written.
        """
        images = inputs if isinstance(inputs, ImageList) else list_images(inputs)
        report = Report(num_skipped=images.num_skipped)
        self.files.start(images, report)
        pending = [(image, name) for image, name in zip(images.images, images.names, strict=True)
                   if not self.files.has(name, image)]
        report.num_present = len(images.images) - len(pending)
        running: deque[tuple] = deque()
        predicted = self._predict(pending, running)
        for labels in progress(self._labels(predicted), 'Labelling images', len(pending), time_left=True):
            name, source, missing = running.popleft()
            number = self.inferencer.num_clusters
            write = partial(write_labels, labels=mark_missing(labels, missing, number), num_labels=number)
            self.files.keep(name, source, write)
        self._sum_up(images, report)
        return report

    def _predict(self, pending: Sequence[tuple[str | np.ndarray, str]], running: deque[tuple]
                 ) -> Iterator[tuple[Tensor, np.ndarray]]:
        """Logits (K, h, w) and image (H, W, bands) of what can be read; name and source go to the end of `running`."""
        for image, name in pending:
            source = self.files.index.source(image)
            try:
                logits, array, missing = self.inferencer.logits(image)
            except ImageReadError as error:
                self.files.report.corrupt.append((error.path, error.reason))
                self.files.index.begin(name)
                self.files.file(name).unlink(missing_ok=True)
                continue
            running.append((name, source, missing))
            yield logits, array

    def _labels(self, predicted: Iterator[tuple[Tensor, np.ndarray]]) -> Iterator[np.ndarray]:
        """Labels (H, W) at the size of the image."""
        if self.crf is None:
            for logits, array in predicted:
                size = array.shape[:2]
                labels = (upsample_scores(logits, size).argmax(0) if self.labels_at == 'image' else
                          upsample_labels(logits.argmax(0), size, rule='corner'))
                yield labels.cpu().numpy()
            return
        with CRFWorkers(self.crf, self.workers, labels=True) as pool:
            for labels in pool.map((logits, _as_bytes(array)) for logits, array in predicted):
                yield labels.cpu().numpy()

    def _sum_up(self, images: ImageList, report: Report) -> None:
        records = self.files.index.records
        made = [name for name in images.names if records.get(name, {}).get('source')]
        write_text_whole(self.out / LIST, ''.join(f'{name}\n' for name in made))
        content = dict(settings=self.settings, images=len(images.images), maps=len(made),
                       unreadable=[list(pair) for pair in report.corrupt])
        write_text_whole(self.out / REPORT, json.dumps(content, indent=1) + '\n')


def _as_bytes(image: np.ndarray) -> Tensor:
    """Numbers 0..255 as bytes."""
    image = image if image.dtype == np.uint8 else np.rint(image).clip(0, 255).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(image))


def label_images(checkpoint: str | os.PathLike | dict, images: ImageInput | Sequence[ImageInput] | ImageList,
                 out: str | os.PathLike, config: str | Path | Config | None = None,
                 crf: CRFSettings | None = CRFSettings(), labels_at: str = 'image', workers: int = 0,  # noqa: B008
                 device: str | None = None, overwrite: bool = False) -> Report:
    """Give images the labels of a trained network; see LabelRun.

    Args:
        checkpoint: Of the trained segmentor.
        images: Images, see `list_images`; `named_images` names the files of a list.
        out: Output folder.
        config: Its config; None: the one in the checkpoint.
        crf: See LabelRun; None: no CRF.
        labels_at, workers, overwrite: See LabelRun.
        device: Such as 'cuda:1'; None: a GPU if there is one.
    """
    return LabelRun(LeopartInferencer(checkpoint, config, device=device), out, crf, labels_at, workers,
                    overwrite).run(images)

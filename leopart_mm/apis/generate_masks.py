"""Mask proposals of many images into a folder: streamed, resumed, checked, never a mixture of two settings."""

import json
import logging
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from mmengine.utils import import_modules_from_strings
from mmseg.utils import register_all_modules
from torch.utils.data import DataLoader

from leopart_mm.apis.image_run import ImageRun
from leopart_mm.apis.proposal_images import PreparedImage, ProposalImages, build_images
from leopart_mm.apis.proposal_network import ProposalNetwork
from leopart_mm.apis.proposal_report import FULL, ProposalReport
from leopart_mm.datasets.output_marks import claim_pictures, mark_outputs, refuse_images_among, refuse_strangers
from leopart_mm.devices import best_device
from leopart_mm.files import printable, shorten, write_image_whole, write_text_whole
from leopart_mm.fingerprints import array_fingerprint
from leopart_mm.folder_lock import lock_folder
from leopart_mm.masks import ProposalImage, Proposals, ProposalSource
from leopart_mm.masks.proposal_cache import FOLDER, REPORT, changed_settings
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.progress import progress
from leopart_mm.registry import TASK_UTILS
from leopart_mm.visualization.proposals import proposals_picture
from leopart_mm.worker_processes import Workers, cpu_count

PICTURE = '.jpg'
WINDOW = 4  # batches that are read before images of equal size are put together


@dataclass
class Task:
    """One image on its way through the network and the workers.

    Args:
        prepared: The image after the pipeline.
        image: The same for the steps that need pixels; None if it could not be read.
        file: Where its proposals are, if they need not be made.
        draft: What the source made of it on the device.
    """

    prepared: PreparedImage
    image: ProposalImage | None = None
    file: Path | None = None
    draft: Any = None


class ProposalRun:
    """Makes the proposals of images into ``out/proposals/<name><suffix>``, one file per image, and resumes.

    Beside the files lie the settings that they were made with (`changed_settings` compares them) and, per image, the
    fingerprints of its file and of its pixels after the pipeline, and its number of masks: `LoadProposals` checks them.
    ``out/report.json`` sums up.

    Batches are made of the images that stand together in the data set, whatever of them is there already, so that
    a resumed run computes the same numbers as an uninterrupted one.

    Args:
        network: The frozen network.
        source: The source of proposals.
        images: The images.
        out: Output folder; made if it does not exist.
        batch_size: Images of equal size that go through the network at once.
        readers: Processes that read images.
        workers: Processes that refine drafts (a CRF, ...); 0: this one. The result does not depend on it.
        overwrite: Make all files again, also where `out` holds those of other settings.
        show_dir: Folder for pictures of all images, or None.

    Raises:
        ValueError: If `out` holds proposals of other settings and `overwrite` is off, or files of something else; if
            outputs would replace or hide images.
        FolderInUseError: If another run writes there.
    """

    def __init__(self, network: ProposalNetwork, source: ProposalSource, images: ProposalImages,
                 out: str | os.PathLike, batch_size: int = 8, readers: int = 0, workers: int = 0,
                 overwrite: bool = False, show_dir: str | os.PathLike | None = None) -> None:
        self.network, self.source, self.images = network, source, images
        self.out = Path(out).expanduser()
        self.show_dir = None if show_dir is None else Path(show_dir).expanduser()
        self.batch_size, self.readers, self.workers = batch_size, readers, workers
        joint = [getattr(source.format, 'joint', REPORT)]
        outputs = {self.out: {FOLDER, REPORT, *joint}}
        if self.show_dir is not None:
            outputs.setdefault(self.show_dir, set()).update(
                f'{name}{PICTURE}'.split('/')[0] for name in images.images.names)
        for folder, names in outputs.items():
            refuse_images_among(folder, names, images.paths)
        self._lock = lock_folder(self.out)
        refuse_strangers(self.out, [REPORT] if (self.out / FOLDER).exists() else [REPORT, *joint])
        self.settings = proposal_settings(network, source, images)
        self.files = ImageRun(self.out / FOLDER, self.settings, source.format.suffix, overwrite,
                              refusal=self._refusal)
        if self.show_dir is not None:
            claim_pictures(self.show_dir, [f'{name}{PICTURE}' for name in images.images.names], images.paths)
        for folder, names in outputs.items():
            mark_outputs(folder, sorted(names))

    def _refusal(self, before: Mapping[str, Any]) -> str:
        return (f'{printable(self.out)} holds proposals that were made otherwise: '
                f'{shorten(changed_settings(before, self.settings))}.')

    def run(self) -> ProposalReport:
        """Make what is missing.

        Raises:
            OSError: If a file cannot be written.
            ValueError: If the source cannot treat an image; the message names it.
        """
        report, names, paths = ProposalReport(), self.images.images.names, self.images.paths
        self.files.start(self.images.images, report)
        pending = [not self.files.has(name, path) for name, path in zip(names, paths, strict=True)]
        undrawn = [self._is_undrawn(name, missing) for name, missing in zip(names, pending, strict=True)]
        report.num_present = pending.count(False)
        windows = [window for window in self._windows() if any(pending[index] or undrawn[index] for index in window)]
        running: deque[Task] = deque()
        with Workers(partial(refine, self.source), self.workers if any(pending) else 0) as workers:
            results = workers.map(self._tasks(windows, pending, undrawn, running))
            total = sum(pending[index] or undrawn[index] for window in windows for index in window)
            for proposals in progress(results, 'Making masks', total, time_left=True):
                self._finish_image(running.popleft(), proposals)
        self._sum_up(report)
        return report

    def _windows(self) -> list[range]:
        size = WINDOW * self.batch_size
        return [range(start, min(start + size, len(self.images))) for start in range(0, len(self.images), size)]

    def _is_undrawn(self, name: str, pending: bool) -> bool:
        """Whether the picture of an image is missing, or older than its proposals."""
        if self.show_dir is None:
            return False
        picture = self._picture(name)
        return pending or not picture.is_file() or (
            picture.stat().st_mtime_ns < self.files.file(name).stat().st_mtime_ns)

    def _picture(self, name: str) -> Path:
        return self.show_dir / f'{name}{PICTURE}'

    def _tasks(self, windows: Sequence[range], pending: Sequence[bool], undrawn: Sequence[bool],
               running: deque[Task]) -> Iterator[tuple]:
        """What `refine` takes of the images that are to be made or drawn; their tasks go to the end of `running`."""
        chosen = [[index for index in window if any(pending[other] for other in window) or undrawn[index]]
                  for window in windows]  # where one image is missing, the batches of its window are needed
        reader = iter(DataLoader(self.images, batch_size=None, sampler=[index for window in chosen for index in window],
                                 num_workers=self.readers, collate_fn=_unchanged))
        for window in chosen:
            prepared = [next(reader) for _ in window]
            drafts = self._drafts(prepared) if any(pending[item.index] for item in prepared) else {}
            for item in prepared:
                if not pending[item.index] and not undrawn[item.index]:
                    continue
                task = Task(item, self._image(item))
                if pending[item.index]:
                    task.draft = drafts.pop(item.index, None)
                else:
                    task.file = self.files.file(self._name(item))
                running.append(task)
                yield task.draft, task.image, task.file

    def _name(self, item: PreparedImage) -> str:
        return self.images.images.names[item.index]

    def _image(self, item: PreparedImage) -> ProposalImage | None:
        if item.inputs is None:
            return None
        return self.network.image(self._name(item), item.inputs, item.original_size)

    def _drafts(self, prepared: Sequence[PreparedImage]) -> dict[int, Any]:
        """Index -> draft of the images of a window, in batches of equal size."""
        groups: dict[tuple[int, ...], list[PreparedImage]] = {}
        for item in prepared:
            if item.inputs is not None:
                groups.setdefault(tuple(item.inputs.shape), []).append(item)
        drafts = {}
        requests = Requests(**self.source.requests)
        for group in groups.values():
            for start in range(0, len(group), self.batch_size):
                batch = group[start:start + self.batch_size]
                inputs = self.network([self._name(item) for item in batch], [item.inputs for item in batch], requests)
                drafts.update(zip((item.index for item in batch), self.source.propose(inputs), strict=True))
        return drafts

    def _finish_image(self, task: Task, proposals: Proposals | None) -> None:
        item, name = task.prepared, self._name(task.prepared)
        if proposals is None:
            self.files.report.corrupt.append(item.error)
            self.files.index.begin(name)
            self.files.file(name).unlink(missing_ok=True)
            return
        if task.file is None:
            facts = dict(masks=len(proposals), largest=round(proposals.largest_share(), 4),
                         pixels=array_fingerprint(item.inputs.permute(1, 2, 0).numpy()))
            self.files.keep(name, item.source, lambda file: self.source.format.write(file, proposals), facts)
        if self.show_dir is not None:
            write_image_whole(self._picture(name), proposals_picture(task.image.pixels, proposals))

    def _sum_up(self, report: ProposalReport) -> None:
        """Count the masks, and write what joins the files and the report."""
        files = {}
        root = os.path.abspath(getattr(self.images.dataset, 'data_root', None) or '')
        for name, path in zip(self.images.images.names, self.images.paths, strict=True):
            record = self.files.index.records.get(name, {})
            if record.get('source'):
                facts = record.get('facts', {})
                report.masks[name] = facts.get('masks', 0)
                report.filled += [name] * (facts.get('largest', 0) >= FULL)
                files[name] = Path(os.path.relpath(os.path.abspath(path), root)).as_posix()
        self.source.format.finish(self.files.folder, files, self.out)
        content = dict(settings=self.settings, images=len(files), masks=sum(report.masks.values()),
                       without_masks=report.empty, filled=report.filled,
                       unreadable=[list(entry) for entry in report.corrupt])
        write_text_whole(self.out / REPORT, json.dumps(content, indent=1) + '\n')
        if 2 * len(report.filled) > len(report.masks):
            print_log(f'Most masks fill their image: of {len(report.filled)} of {len(report.masks)} images a mask '
                      f'covers {FULL:.0%} or more. {self.source.when_filled}'.rstrip(), logger='current',
                      level=logging.WARNING)


def proposal_settings(network: ProposalNetwork, source: ProposalSource, images: ProposalImages) -> dict[str, Any]:
    """All that decides the proposals of an image beside the image, as values that JSON can hold."""
    return dict(format=source.format.name, source=dict(type=type(source).__name__, **source.settings()),
                **network.settings(), images=images.settings())


def refine(source: ProposalSource, task: tuple[Any, ProposalImage | None, Path | None]) -> Proposals | None:
    """The proposals of one image from its draft, or from its file; None for one that could not be read.

    Raises:
        ValueError: If the source cannot treat it; the message names the image.
    """
    draft, image, file = task
    if image is None:
        return None
    if file is not None:
        return source.format.read(file)
    try:
        return source.refine(draft, image)
    except ValueError as error:
        raise ValueError(f'{printable(image.name)}: {error}') from error


def _unchanged(item: Any) -> Any:
    return item


def generate_masks(config: Config, out: str | os.PathLike, checkpoint: str | None = None,
                   images: str | os.PathLike | None = None, show_dir: str | os.PathLike | None = None,
                   batch_size: int | None = None, workers: int | None = None, device: str | None = None,
                   overwrite: bool = False) -> ProposalReport:
    """Make the proposals that a config describes; what `tools/generate_masks.py` does.

    Args:
        config: With `model.backbone`, `proposals` and `proposal_dataloader`.
        out: Output folder.
        checkpoint: Weights of the backbone; None: those that the config names.
        images: Folder of images instead of the config's data set.
        show_dir: Folder for pictures of all images, or None.
        batch_size: None: that of `proposal_dataloader`, else 8.
        workers: Processes beside this one; None: the number of CPU cores that this process may use.
        device: Such as 'cuda:1'; None: a GPU if there is one.
        overwrite: As for ProposalRun.

    Raises:
        KeyError: If the config lacks a part.
        ValueError: As for ProposalRun.
    """
    if config.get('proposals') is None:
        raise KeyError(f'{printable(str(config.filename))} has no proposals, the source of masks, such as '
                       "proposals=dict(type='leopart_mm.PrincipalProposals').")
    if config.get('custom_imports'):
        import_modules_from_strings(**config.custom_imports)
    register_all_modules(init_default_scope=False)
    loader = config.get('proposal_dataloader') or {}
    batch_size = loader.get('batch_size', 8) if batch_size is None else batch_size
    workers = cpu_count() if workers is None else workers
    if batch_size < 1 or workers < 0:
        raise ValueError(f'A batch size of {batch_size} and {workers} workers: give at least 1 and 0.')
    found = build_images(config, images)
    with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmseg')):
        source = TASK_UTILS.build(dict(config.proposals))
    if not isinstance(source, ProposalSource):
        raise TypeError(f'proposals=dict(type={config.proposals.type!r}) is no source of proposals: see '
                        'docs/extending.md.')
    network = ProposalNetwork.from_config(config, checkpoint).to(torch.device(device or best_device()))
    run = ProposalRun(network, source, found, out, batch_size, loader.get('num_workers', 0), workers, overwrite,
                      show_dir)
    try:
        return run.run()
    finally:
        source.release()

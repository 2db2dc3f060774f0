"""StagePicturesHook: what every stage of an unsupervised segmentor made of an image."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dist import is_main_process, master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from leopart_mm.clustering.label_maps import upsample_labels
from leopart_mm.datasets.image_reading import read_image
from leopart_mm.models.postprocessors.community_detection import CommunityDetection
from leopart_mm.registry import HOOKS
from leopart_mm.visualization.community_network import community_network
from leopart_mm.visualization.example_patches import ExamplePatches
from leopart_mm.visualization.overlay import fit_side, overlay, resize
from leopart_mm.visualization.palette import distinct_colours
from leopart_mm.visualization.panels import row, stack

TITLES = dict(CBFE='foreground', ForegroundClustering='foreground clusters', CommunityDetection='communities')


@HOOKS.register_module()
class StagePicturesHook(Hook):
    """Draws a row an image: image, noisy foreground, clusters, foreground, ..., matched classes, ground truth.

    Into ``<show dir>/stages`` go a PNG for each image and a sheet of the first ones; with a CommunityDetection also
    ``community_network.png`` with an example patch in every node. `tools/test.py --show-dir DIR` turns it on.

    Args:
        draw: Whether to draw at all.
        interval: Every how many images a picture is drawn.
        max_images: At most so many; the label maps wait in memory for the matching, which is known at the end.
        max_side: Longest side of a picture.
        sheet_rows: Images on the sheet.
        show, wait_time: Show each picture in a window for so many seconds.
        out_dir: Folder; None takes the visualizer's ``save_dir``, else ``<work dir>/pictures``.
    """

    priority = 'NORMAL'

    def __init__(self, draw: bool = False, interval: int = 1, max_images: int = 100, max_side: int = 240,
                 sheet_rows: int = 8, show: bool = False, wait_time: float = 0., out_dir: str | None = None) -> None:
        self.draw = draw
        self.interval = max(1, interval)
        self.max_images = max_images
        self.max_side = max_side
        self.sheet_rows = sheet_rows
        self.show = show
        self.wait_time = wait_time
        self.out_dir = out_dir
        self._kept: list[dict[str, Any]] = []
        self._seen = 0
        self._patches: ExamplePatches | None = None

    def before_test(self, runner: Runner) -> None:
        """Ask the model to keep what its stages give."""
        model = _unwrap(runner)
        if self.draw and hasattr(model, 'keep_stages'):
            model.keep_stages = True
            for stage in model.postprocessors:
                stage.keep_pictures = True

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Keep the small maps of the images to draw, and look for example patches."""
        if not self.draw or not is_main_process() or not hasattr(_unwrap(runner), 'keep_stages'):
            return
        for sample in outputs:
            stages = sample.metainfo['stages']
            network = _network_stage(_unwrap(runner))
            chosen = self._seen % self.interval == 0 and len(self._kept) < self.max_images
            self._seen += 1
            if not chosen and network is None:
                continue
            image = fit_side(read_image(sample.metainfo['img_path'], 'rgb'), self.max_side)
            if network is not None:
                self._patches = self._patches or ExamplePatches(network.communities.shape[1])
                before = list(stages.values())[-2]
                self._patches.update(image, upsample_labels(before['labels'], image.shape[:2],
                                                            before['extent']).numpy())
            if chosen:
                truth = sample.gt_sem_seg.data[0].cpu().numpy() if 'gt_sem_seg' in sample else None
                self._kept.append(dict(path=sample.metainfo['img_path'], image=image, stages=stages,
                                       truth=None if truth is None else resize(truth, image.shape[:2], labels=True)))

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Draw: now the matching of clusters and classes is known."""
        if self.draw and self._kept:
            self._write(runner)
        self._kept, self._seen, self._patches = [], 0, None

    @master_only
    def _write(self, runner: Runner) -> None:
        folder = Path(self.out_dir or runner.cfg.get('visualizer', {}).get('save_dir')
                      or Path(runner.work_dir) / 'pictures') / 'stages'
        folder.mkdir(parents=True, exist_ok=True)
        matching, palette = _matching(runner)
        rows = []
        for kept in self._kept:
            picture = stage_row(kept['image'], kept['stages'], matching, palette, kept['truth'])
            rows += [picture] if len(rows) < self.sheet_rows else []
            write_picture(folder / f'{Path(kept["path"]).stem}.png', picture)
            if self.show:
                cv2.imshow('stages', picture[..., ::-1])
                cv2.waitKey(max(1, int(1000 * self.wait_time)))
        write_picture(folder / 'sheet.png', stack(rows))
        network = _network_stage(_unwrap(runner))
        if network is not None:
            write_picture(folder / 'community_network.png', draw_network(network, self._patches))
        print_log(f'Wrote pictures of {len(self._kept)} images at every stage to {folder}', logger='current')


def stage_row(image: np.ndarray, stages: dict[str, dict], matching: np.ndarray | None, palette: np.ndarray | None,
              truth: np.ndarray | None) -> np.ndarray:
    """One row of pictures; `stages` as UnsupervisedSegmentor keeps them (title -> labels, extent, num_labels)."""
    pictures = dict(image=image)
    labels = None
    for title, stage in stages.items():
        labels = upsample_labels(stage['labels'], image.shape[:2], stage['extent']).numpy()
        if title in ('noisy foreground', 'CBFE'):
            picture = np.where(labels[..., None] > 0, image, image // 5)
        elif title == 'CommunityDetection':
            picture = overlay(image, labels, distinct_colours(stage['num_labels']), ignore=0)
        else:
            colours = distinct_colours(stage['num_labels'])
            background = stage['num_labels'] - 1 if title == 'ForegroundClustering' else None
            picture = overlay(image, labels, colours, ignore=background)
        pictures[TITLES.get(title, title)] = picture
    if matching is not None and labels is not None and labels.max() < len(matching):
        pictures['matched'] = overlay(image, matching[labels], palette)
    if truth is not None and palette is not None:
        pictures['ground truth'] = overlay(image, truth, palette)
    return row(pictures)


def draw_network(network: CommunityDetection, patches: ExamplePatches | None = None) -> np.ndarray:
    """The drawing of a fitted CommunityDetection: first map, first seed."""
    return community_network(network.matrix[0].double().cpu().numpy(), network.communities[0].cpu().numpy(),
                             network.frequencies[0].cpu().numpy(), network.weight_threshold - 1e-7,
                             None if patches is None else patches.patches)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write (H, W, 3) RGB as PNG; raises OSError where that fails."""
    if not cv2.imwrite(str(path), np.ascontiguousarray(picture[..., ::-1])):
        raise OSError(f'The picture {path} could not be written: is the disk full?')


def _unwrap(runner: Runner) -> Any:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _network_stage(model: Any) -> CommunityDetection | None:
    last = model.postprocessors[-1] if len(model.postprocessors) else None
    return last if isinstance(last, CommunityDetection) else None


def _matching(runner: Runner) -> tuple[np.ndarray | None, np.ndarray | None]:
    palette = runner.test_loop.dataloader.dataset.metainfo.get('palette')
    found = [metric.matching_ for metric in runner.test_loop.evaluator.metrics
             if getattr(metric, 'matching_', None) is not None]
    return (found[0] if found and palette else None), (np.asarray(palette) if palette else None)

"""ClusterVisualizationHook: image, clusters, matched classes and ground truth side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.structures import SegDataSample

from leopart_mm.datasets.image_reading import read_image
from leopart_mm.engine.hooks.picture_files import (
    class_palette,
    find_matching,
    picture_folder,
    read_names,
    write_legend,
    write_picture,
)
from leopart_mm.evaluation.label_writer import unique_names
from leopart_mm.geometry.patch_grid import upsample_labels
from leopart_mm.registry import HOOKS
from leopart_mm.visualization.cluster_names import ClusterNames
from leopart_mm.visualization.overlay import fit_side, overlay
from leopart_mm.visualization.panels import prediction_row, row


@HOOKS.register_module()
class ClusterVisualizationHook(Hook):
    """Draws one PNG an image: image | clusters | matched | ground truth, named after the image.

    Which class a cluster stands for is known after evaluation only, so small label maps wait in memory until then.
    Models without ``pred_clusters`` (ordinary decoders) give image | prediction | ground truth. Every label is painted,
    also those beyond the data set's classes. On several processes the main one draws its own share of the images.
    ``tools/test.py --show`` and ``--show-dir DIR`` (also mmseg's tools) turn it on.

    Args:
        draw: Draw after testing.
        interval: Every how many images a picture is drawn.
        show: Show every picture in a window.
        wait_time: Seconds a window stays.
        max_images: At most so many pictures. None: no limit.
        max_side: Longest side of one panel in pixels; images are not enlarged.
        out_dir: Folder. None takes the visualizer's ``save_dir`` (what --show-dir sets), else ``<work dir>/pictures``.
        draw_val: Also draw at every validation during training, into ``iter_<iteration>`` below the folder.
        ignore_index: Label of ground truth that is left unpainted.
        names: Naming file (see `ClusterNames.load`): colours of the clusters, and ``legend.png`` with their names.

    Raises:
        ValueError: `interval`, `max_images` or `max_side` is less than 1.
    """

    priority = 'NORMAL'

    def __init__(self,
                 draw: bool = False,
                 interval: int = 1,
                 show: bool = False,
                 wait_time: float = 0.,
                 max_images: int | None = 64,
                 max_side: int = 320,
                 out_dir: str | None = None,
                 draw_val: bool = False,
                 ignore_index: int = 255,
                 names: str | None = None) -> None:
        for name, value in dict(interval=interval, max_images=max_images, max_side=max_side).items():
            if value is not None and value < 1:
                raise ValueError(f'ClusterVisualizationHook: {name} must be at least 1, not {value}.')
        self.draw, self.draw_val = draw, draw_val
        self.interval, self.max_images, self.max_side = interval, max_images, max_side
        self.show, self.wait_time = show, wait_time
        self.out_dir = out_dir
        self.ignore_index = ignore_index
        self.names_file = names
        self._forget()

    def _forget(self) -> None:
        self._kept: list[dict[str, Any]] = []
        self._seen = 0

    def before_test_epoch(self, runner: Runner) -> None:
        """Start anew."""
        self._forget()

    def before_val_epoch(self, runner: Runner) -> None:
        """Start anew."""
        self._forget()

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                        outputs: Sequence[SegDataSample] | None = None) -> None:
        """Keep small label maps of the images to draw."""
        if self.draw:
            self._keep(outputs)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                       outputs: Sequence[SegDataSample] | None = None) -> None:
        """Keep small label maps of the images to draw."""
        if self.draw_val:
            self._keep(outputs)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Draw: the matching is known now."""
        if self.draw:
            self._draw(runner, runner.test_loop, picture_folder(runner, self.out_dir))

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Draw: the matching is known now."""
        if self.draw_val:
            self._draw(runner, runner.val_loop, picture_folder(runner, self.out_dir) / f'iter_{runner.iter}')

    def _keep(self, outputs: Sequence[SegDataSample] | None) -> None:
        if not is_main_process():
            return
        for sample in outputs or ():
            chosen = self._seen % self.interval == 0
            self._seen += 1
            if chosen and (self.max_images is None or len(self._kept) < self.max_images):
                self._kept.append(self._small(sample))

    def _small(self, sample: SegDataSample) -> dict[str, Any]:
        """What the picture needs, without the image, which is read again."""
        kept = dict(path=str(sample.metainfo['img_path']), truth=None)
        if 'gt_sem_seg' in sample:
            kept['truth'] = self._shrunk(sample.gt_sem_seg.data)
        if 'pred_clusters' in sample:
            kept.update(labels=sample.pred_clusters.data[0].cpu(), extent=sample.metainfo.get('cluster_extent'),
                        num_clusters=int(sample.metainfo['num_clusters']))
        else:
            kept.update(labels=self._shrunk(sample.pred_sem_seg.data), num_clusters=None)
        return kept

    def _shrunk(self, labels: Any) -> np.ndarray:
        # Copied: a view would keep the map of full size alive.
        return fit_side(labels.squeeze(0).cpu().numpy(), self.max_side, labels=True).astype(np.int64)

    def _draw(self, runner: Runner, loop: Any, folder: Path) -> None:
        if not is_main_process() or not self._kept:
            return
        matching = find_matching(loop.evaluator)
        metainfo = getattr(loop.dataloader.dataset, 'metainfo', {})
        names = self._names(folder)
        files = unique_names([kept['path'] for kept in self._kept])
        for kept, name in zip(self._kept, files, strict=True):
            picture = self._picture(kept, matching, metainfo, names)
            write_picture(folder / f'{name}.png', picture)
            if self.show:
                runner.visualizer.show(picture, win_name=name, wait_time=self.wait_time)
        print_log(f'Drew {len(self._kept)} of {len(loop.dataloader.dataset)} images to {folder} '
                  f'(interval={self.interval}, max_images={self.max_images}).', logger='current')
        self._forget()

    def _names(self, folder: Path) -> ClusterNames | None:
        """What the naming file says, if there is one; its legend is written."""
        clusters = self._kept[0]['num_clusters']
        if self.names_file is None or clusters is None:
            return None
        names = read_names(self.names_file, clusters)
        write_legend(folder / 'legend.png', names)
        return names

    def _picture(self, kept: dict[str, Any], matching: np.ndarray | None, metainfo: dict,
                 names: ClusterNames | None) -> np.ndarray:
        image = fit_side(read_image(kept['path'], 'rgb'), self.max_side)
        labels, truth, clusters = kept['labels'], kept['truth'], kept['num_clusters']
        if clusters is not None:
            labels = upsample_labels(labels, image.shape[:2], kept['extent']).numpy()
            palette = class_palette(metainfo, [matching, truth], self.ignore_index)
            return prediction_row(image, labels, clusters, matching, palette, truth, self.ignore_index, names=names)
        pictures = dict(image=image, prediction=overlay(image, labels, class_palette(metainfo, [labels], -1),
                                                        ignore=None))
        if truth is not None:
            palette = class_palette(metainfo, [truth], self.ignore_index)
            pictures['ground truth'] = overlay(image, truth, palette, ignore=self.ignore_index)
        return row(pictures)

"""StagePicturesHook: what every stage of an unsupervised segmentor made of an image."""

from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from leopart_mm.datasets.image_reading import read_image
from leopart_mm.engine.hooks.picture_files import (
    class_palette,
    find_matching,
    picture_folder,
    read_names,
    write_legend,
    write_picture,
)
from leopart_mm.engine.loops.fit_loops import unwrap
from leopart_mm.evaluation.label_writer import unique_names
from leopart_mm.geometry.patch_grid import upsample_labels
from leopart_mm.models.postprocessors.community_detection import CommunityDetection
from leopart_mm.registry import HOOKS
from leopart_mm.visualization.cluster_names import ClusterNames
from leopart_mm.visualization.cluster_sheet import ClusterSheet
from leopart_mm.visualization.community_network import community_network
from leopart_mm.visualization.overlay import fit_side, overlay, resize
from leopart_mm.visualization.panels import row, stack

TITLES = dict(CBFE='foreground', ForegroundClustering='foreground clusters', CommunityDetection='communities')


@HOOKS.register_module()
class StagePicturesHook(Hook):
    """Draws a row an image: image, noisy foreground, clusters, foreground, ..., matched classes, ground truth.

    Into ``<show dir>/stages`` go a PNG for each image, ``sheet.png`` of the first ones, and ``clusters.html``: example
    patches, share and community of every cluster. With a CommunityDetection also ``community_network.png`` with an
    example patch in every node. `tools/test.py --show-dir DIR` turns it on.

    Args:
        draw: Whether to draw at all.
        interval: Every how many images a picture is drawn; the examples of clusters come from all images.
        max_images: At most so many pictures; their label maps wait in memory for the matching, known at the end.
        max_side: Longest side of a picture.
        sheet_rows: Images on the sheet.
        show, wait_time: Show each picture in a window for so many seconds.
        out_dir: Folder; None takes the visualizer's ``save_dir``, else ``<work dir>/pictures``.
        names: Naming file (see `ClusterNames.load`) of the labels of the last stage: their names and colours.
    """

    priority = 'NORMAL'

    def __init__(self, draw: bool = False, interval: int = 1, max_images: int = 100, max_side: int = 240,
                 sheet_rows: int = 8, show: bool = False, wait_time: float = 0., out_dir: str | None = None,
                 names: str | None = None) -> None:
        self.draw = draw
        self.interval = max(1, interval)
        self.max_images = max_images
        self.max_side = max_side
        self.sheet_rows = sheet_rows
        self.show = show
        self.wait_time = wait_time
        self.out_dir = out_dir
        self.names_file = names
        self._forget()

    def _forget(self) -> None:
        self._kept: list[dict[str, Any]] = []
        self._seen = 0
        self._sheet: ClusterSheet | None = None
        self._names: ClusterNames | None = None

    def before_test(self, runner: Runner) -> None:
        """Ask the model to keep what its stages give."""
        self._forget()
        model = unwrap(runner.model)
        if self.draw and hasattr(model, 'keep_stages'):
            model.keep_stages = True
            for stage in model.postprocessors:
                stage.keep_pictures = True

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Keep the small maps of the images to draw, and look for example patches."""
        model = unwrap(runner.model)
        if not self.draw or not is_main_process() or not hasattr(model, 'keep_stages'):
            return
        if self._sheet is None:  # the model is fitted by now
            self._names = read_names(self.names_file, model.num_labels)
            self._sheet = _cluster_sheet(model, self._names)
        for sample in outputs:
            image = fit_side(read_image(sample.metainfo['img_path'], 'rgb'), self.max_side)
            stages = sample.metainfo['stages']
            parts = list(stages.values())[-1 if _network_stage(model) is None else -2]
            self._sheet.add(image, upsample_labels(parts['labels'], image.shape[:2], parts['extent']).numpy())
            if self._seen % self.interval == 0 and len(self._kept) < self.max_images:
                truth = sample.gt_sem_seg.data[0].cpu().numpy() if 'gt_sem_seg' in sample else None
                self._kept.append(dict(path=sample.metainfo['img_path'], image=image, stages=stages,
                                       truth=None if truth is None else resize(truth, image.shape[:2], labels=True)))
            self._seen += 1

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Draw: now the matching of clusters and classes is known."""
        if self.draw and self._kept and is_main_process():
            self._write(runner)
        self._forget()

    def _write(self, runner: Runner) -> None:
        folder = picture_folder(runner, self.out_dir) / 'stages'
        matching = find_matching(runner.test_loop.evaluator)
        palette = class_palette(runner.test_loop.dataloader.dataset.metainfo,
                                [matching, *(kept['truth'] for kept in self._kept)])
        rows = []
        for kept, name in zip(self._kept, unique_names([kept['path'] for kept in self._kept]), strict=True):
            picture = stage_row(kept['image'], kept['stages'], matching, palette, kept['truth'], self._names)
            rows += [picture] if len(rows) < self.sheet_rows else []
            write_picture(folder / f'{name}.png', picture)
            if self.show:
                runner.visualizer.show(picture, win_name=name, wait_time=self.wait_time)
        write_picture(folder / 'sheet.png', stack(rows))
        self._sheet.save_html(folder / 'clusters.html')
        network = _network_stage(unwrap(runner.model))
        if network is not None:
            drawing = draw_network(network, self._sheet, _group_colours(self._names))
            write_picture(folder / 'community_network.png', drawing)
        if self.names_file is not None:
            write_legend(folder / 'legend.png', self._names)
        print_log(f'Wrote pictures of {len(self._kept)} images at every stage to {folder}', logger='current')


def stage_row(image: np.ndarray, stages: dict[str, dict], matching: np.ndarray | None, palette: np.ndarray,
              truth: np.ndarray | None, names: ClusterNames | None = None) -> np.ndarray:
    """One row of pictures.

    Args:
        image: (H, W, 3) uint8 RGB.
        stages: As UnsupervisedSegmentor keeps them, title -> labels, extent, num_labels.
        matching: (K,) class of each label of the last stage; None leaves that picture out.
        palette: (C, 3) RGB of the classes.
        truth: (h, w) class ids; None leaves that picture out.
        names: Names and colours of the labels of the last stage; None: the palette's.
    """
    pictures = dict(image=image)
    labels = None
    for title, stage in stages.items():
        labels = upsample_labels(stage['labels'], image.shape[:2], stage['extent']).numpy()
        shown = names if names is not None and title == list(stages)[-1] else ClusterNames.default(stage['num_labels'])
        if title in ('noisy foreground', 'CBFE'):
            picture = np.where(labels[..., None] > 0, image, image // 5)
        else:
            background = dict(CommunityDetection=0, ForegroundClustering=stage['num_labels'] - 1).get(title)
            picture = shown.overlay(image, labels, ignore=background)
        pictures[TITLES.get(title, title)] = picture
    if matching is not None and labels is not None and labels.max() < len(matching):
        pictures['matched'] = overlay(image, matching[labels], palette)
    if truth is not None:
        pictures['ground truth'] = overlay(image, truth, palette)
    return row(pictures)


def draw_network(network: CommunityDetection, sheet: ClusterSheet | None = None,
                 colours: np.ndarray | None = None) -> np.ndarray:
    """The drawing of a fitted CommunityDetection (first map, first seed) with example patches from `sheet`."""
    patches = {} if sheet is None else {cluster: sheet.patches(cluster)[0] for cluster in sheet.order()}
    return community_network(network.matrix[0].double().cpu().numpy(), network.communities[0].cpu().numpy(),
                             network.frequencies[0].cpu().numpy(), network.weight_threshold - 1e-7, patches, colours)


def _cluster_sheet(model: Any, names: ClusterNames) -> ClusterSheet:
    """An empty sheet of the clusters that communities are made of, else of the labels of the last stage."""
    network = _network_stage(model)
    if network is None:
        return ClusterSheet(model.num_labels, names)
    communities = network.communities[0].tolist()
    clusters = ClusterNames.default(len(communities))
    clusters.colours = _group_colours(names)[communities]
    default = ClusterNames.default(len(names.names)).names
    shown = [str(number) if name == default[number] else name for number, name in enumerate(names.names)]
    return ClusterSheet(len(communities), clusters, [shown[number] for number in communities])


def _group_colours(names: ClusterNames) -> np.ndarray:
    """(K, 3) uint8 RGB: of each cluster, the colour of the first cluster of its name."""
    group_of, groups = names.merged()
    return groups.colours[group_of]


def _network_stage(model: Any) -> CommunityDetection | None:
    last = model.postprocessors[-1] if len(model.postprocessors) else None
    return last if isinstance(last, CommunityDetection) else None

"""PictureHook: what was predicted, matched and true, side by side, in one PNG per image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.structures import SegDataSample

from leopart_mm.datasets.image_reading import read_image
from leopart_mm.datasets.skipping import stands_in
from leopart_mm.engine.wrapping import unwrap
from leopart_mm.evaluation.label_writer import unique_names
from leopart_mm.files import printable, write_image_whole, write_palette_whole
from leopart_mm.geometry.image_part import WHOLE, Part, part_pixels
from leopart_mm.registry import HOOKS
from leopart_mm.visualization.chain_page import EXAMPLES_PAGE, ChainPage
from leopart_mm.visualization.cluster_names import ClusterNames
from leopart_mm.visualization.cluster_sheet import legend
from leopart_mm.visualization.layers import Layer, class_palette, layer_row, layers_of, truth_of
from leopart_mm.visualization.overlay import fit_side
from leopart_mm.visualization.panels import stack
from leopart_mm.written_files import WrittenFiles

SUMMARIES = ('sheet.png', 'legend.png', 'classes.png', EXAMPLES_PAGE, 'community_network.png')


@dataclass
class _Image:
    """What the picture of an image needs; the image itself is read again."""

    path: str
    layers: list[Layer]
    truth: Layer | None
    part: Part = WHOLE

    def read(self, max_side: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB: the part of the file that was predicted, no side longer than `max_side`."""
        pixels = read_image(self.path, 'rgb')
        return fit_side(pixels[part_pixels(self.part, pixels.shape[:2])], max_side)


class PictureHook(Hook):
    """Draws one PNG per image: image | labels | matched classes | ground truth, named after the image.

    Of an image that was cropped (``crop_box`` of `CentreCrop`), pictures show the part that was predicted.
    Which class a cluster stands for is known after evaluation only, so small label maps wait in memory until then.
    Pictures of an earlier run in the folder are removed. Every label is painted, also those beyond the data set's
    classes. Of several processes the main one draws its own share of the images. ``tools/test.py --show`` and
    ``--show-dir DIR`` (also mmseg's tools) turn the hook on.

    Args:
        draw: Draw after testing.
        interval: Draw every n-th image.
        show: Show every picture in a window.
        wait_time: Seconds per window.
        max_images: Maximum number of pictures. None: no limit.
        max_side: Longest side of a panel in pixels; images are not enlarged.
        out_dir: Folder of the pictures. None takes the visualizer's ``save_dir`` (what --show-dir sets), else
            ``<work dir>/pictures``.
        draw_val: Also draw at every validation during training, into ``iter_<iteration>`` below the folder.
        ignore_index: Label of the ground truth that is left unpainted.
        names: Naming file (see `ClusterNames.load`) of the final labels: their names and colours in the pictures, and
            ``legend.png``. The legend of the data set's classes is ``classes.png``.
        sheet_rows: Number of images on ``sheet.png``, which shows the first ones below each other. 0: no sheet.

    Attributes:
        needs_stages: Whether the loop must ask the model for the maps of all stages (metainfo ``stages``).

    Raises:
        ValueError: If `interval` or `max_side` is less than 1, or `max_images` is negative.
    """

    priority = 'NORMAL'
    needs_stages: ClassVar[bool] = False
    subfolder: ClassVar[str] = ''

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
                 names: str | None = None,
                 sheet_rows: int = 0) -> None:
        for name, value, least in (('interval', interval, 1), ('max_images', max_images, 0), ('max_side', max_side, 1)):
            if value is not None and value < least:
                raise ValueError(f'{type(self).__name__}: {name} must be at least {least}, not {value}.')
        self.draw, self.draw_val = draw, draw_val
        self.interval, self.max_images, self.max_side = interval, max_images, max_side
        self.show, self.wait_time = show, wait_time
        self.out_dir = out_dir
        self.ignore_index = ignore_index
        self.names_file = names
        self.sheet_rows = sheet_rows
        self._forget()

    def _forget(self) -> None:
        self._images: list[_Image] = []
        self._seen = 0
        self._names: ClusterNames | None = None
        self._page: ChainPage | None = None

    def before_test_epoch(self, runner: Runner) -> None:
        """Forget the images of the last run."""
        self._forget()

    def before_val_epoch(self, runner: Runner) -> None:
        """Forget the images of the last run."""
        self._forget()

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                        outputs: Sequence[SegDataSample] | None = None) -> None:
        """Keep small label maps of the images to draw."""
        if self.draw:
            if self._seen == 0 and outputs and is_main_process():  # before hours of work, not after them
                name = Path(outputs[0].metainfo['img_path']).stem
                WrittenFiles(self._folder(runner), 'pictures').refuse_foreign([f'{name}.png'])
            self._keep(runner, runner.test_loop, outputs)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                       outputs: Sequence[SegDataSample] | None = None) -> None:
        """Keep small label maps of the images to draw."""
        if self.draw_val:
            self._keep(runner, runner.val_loop, outputs)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Draw: the matching is known now."""
        if self.draw:
            self._draw(runner, runner.test_loop, self._folder(runner))

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Draw: the matching is known now."""
        if self.draw_val:
            self._draw(runner, runner.val_loop, self._folder(runner) / f'iter_{runner.iter}')

    def _folder(self, runner: Runner) -> Path:
        save_dir = (runner.cfg.get('visualizer') or {}).get('save_dir')
        return Path(self.out_dir or save_dir or Path(runner.work_dir) / 'pictures') / self.subfolder

    def _keep(self, runner: Runner, loop: Any, outputs: Sequence[SegDataSample] | None) -> None:
        if not is_main_process():
            return
        for sample in outputs or ():
            if stands_in(sample):
                continue
            layers = layers_of(sample, self.needs_stages)
            if self._seen == 0:
                self._begin(layers, _model(runner, loop))
            image = _Image(str(sample.metainfo['img_path']), layers, truth_of(sample),
                           sample.metainfo.get('crop_box') or WHOLE)
            if self._page is not None:
                self._page.add(image.read(self.max_side), layers)
            if self._seen % self.interval == 0 and (self.max_images is None or len(self._images) < self.max_images):
                image.layers = [layer.shrunk(self.max_side) for layer in layers]
                image.truth = None if image.truth is None else image.truth.shrunk(self.max_side)
                self._images.append(image)
            self._seen += 1

    def _begin(self, layers: Sequence[Layer], model: Any) -> None:
        """Read the naming file, at the first image: the number of labels is known now."""
        number = layers[-1].num_labels
        if self.names_file is not None and number is not None:
            self._names = ClusterNames.load(self.names_file, number)
        if self.needs_stages and len(layers) > 1:
            self._page = ChainPage(list(layers), getattr(model, 'postprocessors', ()), self._names)

    def _draw(self, runner: Runner, loop: Any, folder: Path) -> None:
        if not is_main_process() or not self._images:
            return
        matching = find_matching(loop.evaluator)
        metainfo = getattr(loop.dataloader.dataset, 'metainfo', {})
        rows = []
        files = unique_names([image.path for image in self._images])
        WrittenFiles(folder, 'pictures').replace([*(f'{name}.png' for name in files), *SUMMARIES])
        for image, name in zip(self._images, files, strict=True):
            picture = layer_row(image.read(self.max_side), image.layers, matching, metainfo, image.truth,
                                self.ignore_index, self._names)
            write_image_whole(folder / f'{name}.png', picture)
            if len(rows) < self.sheet_rows:
                rows.append(picture)
            if self.show:
                runner.visualizer.show(picture, win_name=name, wait_time=self.wait_time)
        if rows:
            write_palette_whole(folder / 'sheet.png', stack(rows))
        if self._names is not None:
            groups = self._names.merged()[1]
            write_image_whole(folder / 'legend.png', legend(groups, range(len(groups.names))))
        shown = [image.truth for image in self._images if image.truth is not None]
        if metainfo.get('classes') and (shown or matching is not None):
            self._write_classes(folder / 'classes.png', metainfo, matching, shown)
        if self._page is not None:
            self._page.write(folder)
        print_log(f'Drew {len(self._images)} of {len(loop.dataloader.dataset)} images to {printable(folder)} '
                  f'(interval={self.interval}, max_images={self.max_images}).', logger='current')
        self._forget()


    def _write_classes(self, file: Path, metainfo: Mapping[str, Any], matching: np.ndarray | None,
                       truths: Sequence[Layer]) -> None:
        """The legend of the classes that are matched or occur in the pictures."""
        values = [*(truth.labels.numpy() for truth in truths), *([] if matching is None else [matching])]
        found = np.unique(np.concatenate([np.unique(value) for value in values]))
        classes = list(metainfo['classes'])
        found = [label for label in found.tolist() if 0 <= label < len(classes) and label != self.ignore_index]
        if found:
            colours = class_palette(metainfo, [np.arange(len(classes))], ignore=None)[:len(classes)]
            write_image_whole(file, legend(ClusterNames(classes, colours), found))


@HOOKS.register_module()
class ClusterVisualizationHook(PictureHook):
    """PictureHook of the final labels: image | clusters | matched classes | ground truth.

    Models without ``pred_clusters`` (ordinary decoders) give image | prediction | ground truth.
    """


@HOOKS.register_module()
class StagePicturesHook(PictureHook):
    """PictureHook of every stage of an unsupervised segmentor, with a page of examples of every cluster.

    Into ``<show dir>/stages`` go a PNG per image, ``sheet.png`` of the first ones, and ``examples.html``: examples,
    share and community of every cluster, from all images. If a stage has a `network()` of clusters, also
    ``community_network.png`` with an example in every node.

    Args:
        max_images, max_side, sheet_rows: As for PictureHook, with other defaults.
        **kwargs: As for PictureHook.
    """

    needs_stages = True
    subfolder = 'stages'

    def __init__(self, *args: Any, max_images: int | None = 100, max_side: int = 240, sheet_rows: int = 8,
                 **kwargs: Any) -> None:
        super().__init__(*args, max_images=max_images, max_side=max_side, sheet_rows=sheet_rows, **kwargs)


def find_matching(evaluator: Evaluator) -> np.ndarray | None:
    """(K,) class of every cluster from the first metric that has one (`ClusterMetric`); None if there is none."""
    found = [getattr(metric, 'matching_', None) for metric in evaluator.metrics]
    return next((matching for matching in found if matching is not None), None)


def _model(runner: Runner, loop: Any) -> Any:
    """The model that predicts: the loop's own segmentor, else the runner's."""
    model = getattr(loop, 'segmentor', None) or getattr(runner, 'model', None)
    return unwrap(model)

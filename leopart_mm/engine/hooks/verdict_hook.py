"""VerdictHook: are the features better after the training than before? Said without labels, in words."""

import time
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from leopart_mm.datasets.image_reading import ImageReadError
from leopart_mm.datasets.transforms import LoadImage
from leopart_mm.engine.hooks.training_page_hook import VERDICT
from leopart_mm.engine.loops.undisturbed import undisturbed
from leopart_mm.engine.wrapping import unwrap
from leopart_mm.evaluation.feature_numbers import VERDICT_NUMBERS, feature_numbers
from leopart_mm.evaluation.image_views import sample_evenly, see_twice
from leopart_mm.evaluation.verdict import MIN_IMAGES, compare
from leopart_mm.evaluation.verdict_study import evidence
from leopart_mm.registry import HOOKS

LARGEST = 224  # pixels; larger images cost minutes on a CPU
BEFORE = 'verdict_before'  # in the message hub, hence in checkpoints: a resumed run compares with the true start


@HOOKS.register_module()
class VerdictHook(Hook):
    """Measures the backbone on some training images before the first and after the last step, and says what changed.

    No labels are used. docs/verdict.md shows which numbers decide, and how well they agree with mIoU where there are
    labels. It takes seconds, disturbs neither random states nor the training, and gives the same words again for the
    same seed. The words are logged and stand on the page of the training (`TrainingPageHook`).

    Args:
        images: Number of training images that are looked at. Defaults to 64.
        size: Side in pixels of a square with as many pixels as an image is resized to. None (default): that of the
            global crops, at most 224.
        seed: Seed of the choice of images and of their second views. Defaults to 0.
        backbone: Name of the model's part that is measured. Defaults to 'backbone'.

    Raises:
        ValueError: If `images` is below the number that a verdict takes.
    """

    priority = 'NORMAL'

    def __init__(self, images: int = 64, size: int | None = None, seed: int = 0, backbone: str = 'backbone') -> None:
        if images < MIN_IMAGES:
            raise ValueError(f'VerdictHook: images={images} must be at least {MIN_IMAGES}.')
        self.images, self.size, self.seed, self.backbone = images, size, seed, backbone

    def before_train(self, runner: Runner) -> None:
        """Measure the start; a resumed run has it in its checkpoint."""
        if runner.iter:
            return
        runner.message_hub.update_info(BEFORE, self._measure(runner) if is_main_process() else None)

    def after_train(self, runner: Runner) -> None:
        """Measure the result and say what changed."""
        if not is_main_process():
            return
        before = runner.message_hub.get_info(BEFORE, None)
        if before is None:
            runner.logger.warning('There is no verdict on this training: what the features were before it is unknown, '
                                  'since the run began without VerdictHook.')
            return
        after = self._measure(runner)
        for found in (before, after):
            if isinstance(found, str):
                runner.logger.warning(f'There is no verdict on this training: {found}')
                return
        verdict = compare(before, after)
        verdict['lines'].append(evidence())
        runner.message_hub.update_info(VERDICT, verdict)
        runner.logger.info('\n'.join([f'Is it better now? {verdict["text"]}', *verdict['lines']]))

    def _measure(self, runner: Runner) -> dict[str, list[float]] | str:
        """The numbers, a value per image and number; or why there are none."""
        model = unwrap(runner.model)
        backbone, dataset = getattr(model, self.backbone, None), runner.train_dataloader.dataset
        if not hasattr(backbone, 'forward_dense') or not hasattr(dataset, 'get_data_info'):
            return (f'it needs a model whose {self.backbone!r} gives dense features, and a data set of images; here '
                    f'are {type(model).__name__} and {type(dataset).__name__}.')
        start = time.perf_counter()
        with undisturbed(runner.model):
            backbone.eval()
            images = self._images(dataset, model.data_preprocessor)
            if len(images) < MIN_IMAGES:
                return f'{len(images)} images can be read, and at least {MIN_IMAGES} are needed.'
            colours = model.data_preprocessor
            seen = see_twice(backbone, images, colours.mean.float(), colours.std.float(), self._size(runner), self.seed)
            numbers = feature_numbers(seen, self.seed)
        runner.logger.info(f'Measured the features of {len(images)} images without labels, for the verdict at the end, '
                           f'in {time.perf_counter() - start:.1f} s.')
        return {name: numbers[name].tolist() for name in VERDICT_NUMBERS}

    def _images(self, dataset: Any, colours: nn.Module) -> list:
        """Some images of the data set as the network's channels; those that cannot be read are left out."""
        load, found = LoadImage('rgb', bands=len(colours.mean)), []
        for index in sample_evenly(len(dataset), len(dataset), self.seed):
            try:
                found.append(load(dict(dataset.get_data_info(index)))['img'])
            except ImageReadError:
                continue
            if len(found) == self.images:
                break
        return found

    def _size(self, runner: Runner) -> int:
        if self.size is not None:
            return self.size
        crops = (runner.cfg or {}).get('crop_sizes') or (224, )
        return min(int(crops[0]), LARGEST)


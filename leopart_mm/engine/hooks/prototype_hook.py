"""PrototypeHook: how prototypes start, and how the momentum set follows the trained one."""

import itertools
from collections.abc import Iterator
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, random

from leopart_mm.engine.fitted_checkpoint import cluster_meta
from leopart_mm.engine.loops.resumable_loops import require_batches
from leopart_mm.engine.loops.undisturbed import undisturbed
from leopart_mm.engine.wrapping import unwrap
from leopart_mm.models.segmentors import PrototypeSegmentor
from leopart_mm.progress import progress
from leopart_mm.registry import HOOKS

STARTS = ('pca', None)


@HOOKS.register_module()
class PrototypeHook(Hook):
    """Initialises the prototypes of a PrototypeSegmentor, and lets its momentum set follow after every step.

    A new run starts at the prototypes of the checkpoint that it loads (``load_from``), both sets at the same unless the
    file holds both; without such at the principal directions of the features of the first training batches
    (docs/methods/primaps.md §7). The linear probe always starts fresh: its score is that of this run. A
    resumed run continues where it was.

    Args:
        init: 'pca', or None: random values, the default of a convolution.
        num_batches: Number of batches of all processes together that PCA reads; published: 93, in shuffled order. None
            (default): all training batches, so that neither their order nor their size matters.

    Raises:
        ValueError: If `init` is unknown, or `num_batches` is below 1.
    """

    priority = 'NORMAL'

    def __init__(self, init: str | None = 'pca', num_batches: int | None = None) -> None:
        if init not in STARTS:
            raise ValueError(f"init={init!r} is unknown. Allowed: 'pca', None.")
        if num_batches is not None and num_batches < 1:
            raise ValueError(f'num_batches={num_batches} must be at least 1, or None for all.')
        self.init, self.num_batches = init, num_batches

    def before_train(self, runner: Runner) -> None:
        """Initialise a new run.

        Raises:
            TypeError: If the model has no prototypes.
            ValueError: If there are fewer images than a batch has.
        """
        model = unwrap(runner.model)
        if not isinstance(model, PrototypeSegmentor):
            raise TypeError(f'PrototypeHook is for a PrototypeSegmentor, not for a {type(model).__name__}.')
        loader = runner.train_dataloader
        require_batches(loader)
        model.cache.expect(2 * -(-len(loader.dataset) // get_world_size()))  # mirrored ones too
        if runner.iter > 0:
            return
        model.ema_updates.zero_()
        self._start_probe(runner, model)
        if model.decode_head.is_fitted:
            runner.logger.info('The prototypes start at those of the loaded checkpoint.')
        elif self.init == 'pca':
            with undisturbed(runner.model):
                runner.model.eval()
                model.initialise(self._features(runner, model))
            runner.logger.info(f'The {model.decode_head.num_clusters} prototypes start at the principal directions.')

    @staticmethod
    def _start_probe(runner: Runner, model: PrototypeSegmentor) -> None:
        """Give the linear probe the initial values of the run's seed, the same ones on all processes."""
        if model.linear_probe is not None:
            with random.fork_rng():
                random.manual_seed(runner.seed or 0)
                model.linear_probe.reset_parameters()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Let the momentum prototypes follow."""
        unwrap(runner.model).follow(runner.iter)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Labels are clusters: the checkpoint names them so, not after the classes of the data set."""
        meta = checkpoint['meta']
        meta['dataset_meta'] = {**(meta.get('dataset_meta') or {}), **cluster_meta(unwrap(runner.model).num_labels)}

    def _features(self, runner: Runner, model: PrototypeSegmentor) -> Iterator[Tensor]:
        loader = runner.train_dataloader
        count = len(loader) if self.num_batches is None else min(len(loader), -(-self.num_batches // get_world_size()))
        for data in progress(itertools.islice(iter(loader), count), 'Reading features for PCA', count):
            yield model.clean_features(model.data_preprocessor(data, True)['inputs'])  # training may find them kept

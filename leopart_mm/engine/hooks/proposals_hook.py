"""ProposalsHook: training reads only proposals that were made with the backbone that it trains on."""

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from leopart_mm.datasets.transforms.load_proposals import LoadProposals
from leopart_mm.models.fitting.networks import colour_settings, network_settings
from leopart_mm.registry import HOOKS


@HOOKS.register_module()
class ProposalsHook(Hook):
    """Compares the record of every `LoadProposals` of the training data with the model's backbone, once, at the start.

    The published cache carries no check: proposals of another backbone, block or checkpoint go unnoticed
    (docs/methods/primaps.md §17, trap 9). Proposals of the published layout have no record and pass.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare.

        Raises:
            ValueError: If proposals come from another backbone, block or checkpoint, or other colour statistics.
        """
        steps = list(proposal_steps(runner.train_dataloader.dataset))
        if steps:
            model = runner.model.module if is_model_wrapper(runner.model) else runner.model
            settings = dict(backbone=network_settings(model.backbone))
            colours = colour_settings(model.data_preprocessor)
            if colours['mean'] is not None:
                settings['normalise'] = colours
            for step in steps:
                step.require(settings)


def proposal_steps(dataset: Any) -> Iterator[LoadProposals]:
    """The `LoadProposals` in the pipelines of a data set and of those that it wraps."""
    for step in getattr(getattr(dataset, 'pipeline', None), 'transforms', ()):
        if isinstance(step, LoadProposals):
            yield step
    for inner in (*getattr(dataset, 'datasets', ()), getattr(dataset, 'dataset', None)):
        if inner is not None:
            yield from proposal_steps(inner)

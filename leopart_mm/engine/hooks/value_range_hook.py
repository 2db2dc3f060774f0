"""ValueRangeHook: the data sets of a run read images of more than 8 bits by one range, which checkpoints keep."""

import logging
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from leopart_mm.datasets.value_range import (
    HasValueRange,
    differ_much,
    noted_range,
    parts_of,
    set_value_range,
    share_value_range,
)
from leopart_mm.files import printable
from leopart_mm.registry import HOOKS


@HOOKS.register_module()
class ValueRangeHook(Hook):
    """Lets all data sets of a run scale images of more than 8 bits alike.

    The range is, in this order: what a data set was given (``value_range=(low, high)``); what the loaded checkpoint
    notes; what is measured on the images that are trained or fitted on. Checkpoints of the run note it, with the nodata
    value, in ``meta.dataset_meta``. Nothing happens where all images have 8 bits.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Share the range of the images that are trained or fitted on."""
        datasets = _datasets(runner)
        if datasets:
            share_value_range(datasets[0], datasets[1:])
        _tell_metrics(runner, datasets)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take the range that the checkpoint notes."""
        value_range, nodata = noted_range(checkpoint)
        datasets = _datasets(runner)
        parts = [part for dataset in datasets for part in parts_of(dataset) if not part.range_is_given]
        if value_range is None or not parts:
            return
        for part in parts:
            if part.value_range is not None and differ_much(part.value_range, value_range):
                print_log(f'Images in {printable(part.data_root or "")} hold numbers from {part.value_range[0]:g} to '
                          f'{part.value_range[1]:g}, but the checkpoint was made with {value_range[0]:g} to '
                          f"{value_range[1]:g}, by which they are scaled. If they are of another kind, set "
                          "value_range='measure' in their data set.", logger='current', level=logging.WARNING)
        set_value_range(parts, value_range, nodata)
        _tell_metrics(runner, datasets)
        if any(part.value_range is not None for part in parts):
            print_log(f'Images of more than 8 bits are scaled from {value_range[0]:g}..{value_range[1]:g}, as the '
                      'checkpoint notes.', logger='current', level=logging.DEBUG)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note the range of the images that are trained on."""
        datasets = _datasets(runner)
        part = next(parts_of(datasets[0]), None) if datasets else None
        note_range(checkpoint.setdefault('meta', {}), part)


def note_range(meta: dict[str, Any], part: HasValueRange | None) -> None:
    """Write the range of a data set into the meta of a checkpoint, if it has one."""
    if part is not None and (part.value_range is not None or part.nodata is not None):
        meta['dataset_meta'] = dict(meta.get('dataset_meta') or {}, value_range=part.value_range, nodata=part.nodata)


def _datasets(runner: Runner) -> list[Any]:
    """The data sets of the loops that are built, those that are trained or fitted on first."""
    found = []
    for loop in (getattr(runner, name, None) for name in ('_train_loop', '_val_loop', '_test_loop')):
        for name in ('fit_dataloader', 'dataloader'):
            dataset = getattr(getattr(loop, name, None), 'dataset', None)
            if dataset is not None and all(dataset is not other for other in found):
                found.append(dataset)
    return found


def _tell_metrics(runner: Runner, datasets: list[Any]) -> None:
    """Metrics that write label maps mark the pixels without data."""
    nodata = next((part.nodata for dataset in datasets for part in parts_of(dataset) if part.nodata is not None), None)
    for loop in (getattr(runner, name, None) for name in ('_val_loop', '_test_loop')):
        for metric in getattr(getattr(loop, 'evaluator', None), 'metrics', ()):
            if getattr(metric, 'nodata', 0) is None:
                metric.nodata = nodata

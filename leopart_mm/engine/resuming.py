"""Continuing a run whose config has changed since: what follows the config as it is now, and what is said about it.

The rule (docs/resuming.md): the config that is given decides. Where its schedules or their start values differ from
the checkpoint's, every step takes the value that an uninterrupted run of this config has at that step.
"""

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.optim import _ParamScheduler

HYPER_PARAMETERS = ('lr', 'weight_decay', 'momentum', 'betas', 'eps')
NOT_SETTINGS = {'optimizer', 'last_step', '_global_step', '_last_value', 'base_values', 'verbose'}
BATCH = 'leopart_mm_batch'  # key in the message hub of a checkpoint


class NotResumableError(ValueError):
    """A file from which training cannot be continued."""


@dataclass
class Schedules:
    """Schedules and parameter groups as the config makes them, at step 0."""

    states: list[dict[str, Any]]
    groups: list[dict[str, Any]]

    @classmethod
    def of(cls, schedulers: Sequence[_ParamScheduler], groups: Sequence[Mapping[str, Any]]) -> 'Schedules':
        """Remember freshly built schedulers, and the groups that they set."""
        states = [{key: copy.deepcopy(value) for key, value in vars(scheduler).items() if key != 'optimizer'}
                  for scheduler in schedulers]
        return cls(states, [{key: value for key, value in group.items() if _is_value(key)} for group in groups])

    def follow(self, schedulers: Sequence[_ParamScheduler], groups: Sequence[dict[str, Any]], iterations: int,
               epoch_length: int | None = None) -> list[str]:
        """Let schedulers and groups that were loaded from a checkpoint follow the config where they differ.

        Args:
            schedulers: The loaded schedulers; changed in place.
            groups: The optimiser's loaded groups (of an OptimWrapper, with the base values); changed in place.
            iterations: Number of steps done.
            epoch_length: Steps per epoch, for schedulers that step once per epoch.

        Returns:
            What differed, in words; empty if nothing did and nothing was changed.
        """
        differences = self._differences(schedulers, groups)
        if not differences:
            return []
        for scheduler, state in zip(schedulers, self.states, strict=True):
            vars(scheduler).update(copy.deepcopy(state))
        for group, fresh in zip(groups, self.groups, strict=True):
            group.update(fresh)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # schedulers warn of steps without the optimiser's
            for step in range(1, iterations + 1):
                for scheduler in schedulers:
                    if not scheduler.by_epoch or (epoch_length and step % epoch_length == 0):
                        scheduler.step()
        return differences

    def _differences(self, schedulers: Sequence[_ParamScheduler], groups: Sequence[Mapping[str, Any]]) -> list[str]:
        found = []
        for scheduler, state in zip(schedulers, self.states, strict=True):
            for key in sorted(state.keys() - NOT_SETTINGS):
                if vars(scheduler).get(key) != state[key]:
                    found.append(f'{type(scheduler).__name__}.{key} {vars(scheduler).get(key)} -> {state[key]}')
        for number, (group, fresh) in enumerate(zip(groups, self.groups, strict=True)):
            for name in HYPER_PARAMETERS:
                # What a schedule moves is compared by where it started.
                key = f'initial_{name}' if f'initial_{name}' in fresh else name
                if key in fresh and group.get(key) != fresh[key]:
                    found.append(f'{name} of optimiser group {group.get("name", number)} {group.get(key)} -> '
                                 f'{fresh[key]}')
        return found


def _is_value(key: str) -> bool:
    return key in HYPER_PARAMETERS or key.startswith('initial_')


def check_resumable(checkpoint: Any, name: str) -> None:
    """Refuse a file that holds no training to continue.

    Raises:
        NotResumableError: If it has no step, optimiser or log; the message says what it is, and the way.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    if {'iter', 'epoch'} <= meta.keys() and {'optimizer', 'message_hub'} <= checkpoint.keys():
        return
    if isinstance(checkpoint, Mapping) and any(str(key).endswith('.fitted') for key in checkpoint.get(
            'state_dict', {})):
        what = 'a fitted model (tools/test.py --save-fitted)'
    elif {'iter', 'epoch'} <= meta.keys():
        what = 'a training checkpoint without its optimiser (save_optimizer=False)'
    else:
        what = 'weights alone'
    raise NotResumableError(
        f'{name} cannot be resumed: it holds {what}, no state of a training run. --resume takes a file such as '
        f'work_dirs/.../iter_1000.pth. To start a new run from these weights: --cfg-options checkpoint={name}, without '
        '--resume.')


def check_trained(checkpoint: Mapping[str, Any], groups: Sequence[Mapping[str, Any]], name: str) -> None:
    """Refuse a run whose optimiser moved other tensors than this config would.

    Args:
        checkpoint: A training checkpoint with one optimiser.
        groups: The parameter groups of the new optimiser.
        name: What the message calls the checkpoint.

    Raises:
        NotResumableError: If groups or their sizes differ.
    """
    optimisers = checkpoint['optimizer']['param_groups'], groups
    before, now = ([len(group['params']) for group in found] for found in optimisers)
    if before != now:
        raise NotResumableError(
            f'{name} cannot be resumed: its run trained {sum(before)} tensors in {len(before)} groups, this config '
            f'trains {sum(now)} in {len(now)}. Give trainable, frozen_stages and the like the values that it began '
            f'with (its config lies beside it), or start a new run from its weights: --cfg-options checkpoint={name}, '
            'without --resume.')


def early_ends(schedulers: Sequence[_ParamScheduler], iterations: int, epochs: int) -> list[str]:
    """Name the schedules that end before training does: from there on their value stays where it is."""
    last: dict[tuple[str, bool], float] = {}
    for scheduler in schedulers:
        end = min(scheduler.end, scheduler.begin + getattr(scheduler, 'T_max', scheduler.end))
        key = (scheduler.param_name, scheduler.by_epoch)
        last[key] = max(last.get(key, 0), end)
    found = []
    for (name, by_epoch), end in last.items():
        total, unit = (epochs, 'epochs') if by_epoch else (iterations, 'iterations')
        if end < total:
            found.append(f'The schedule of {name} ends after {end} of {total} {unit}, and {name} stays at its last '
                         'value from there on. Set T_max and end of param_scheduler too (--cfg-options iterations=N or '
                         'epochs=N sets all of them where the config has such a variable).')
    return found


def nothing_left(done: int, total: int, unit: str) -> str | None:
    """What is said of a run that has done all its steps; None if some are left."""
    if done < total:
        return None
    more = 'just what' if done == total else f'more than the {total} that'
    return (
        f'The checkpoint has done {done} {unit}, {more} the config asks for: nothing is left to train.'
        ' More: --cfg-options iterations=N (or epochs=N) with N above that; schedules are then stretched '
        'to the new length.')


def batch_changes(before: Mapping[str, int] | None, now: Mapping[str, int]) -> str | None:
    """What is not exact where a run is continued with another batch; None if it is the same or not known.

    Args:
        before: 'batch_size' (per process), 'processes' and 'epoch_length' of the checkpoint.
        now: The same of this run.
    """
    if not before or all(before.get(key) == now[key] for key in ('batch_size', 'processes')):
        return None
    old, new = (f'{batch["batch_size"]} images on each of {batch["processes"]} processes' for batch in (before, now))
    return (f'The checkpoint was written with {old}, this run has {new}: the run is not what it would have been '
            'without the stop. The order of the images is another, one step is worth '
            f'{now["batch_size"] * now["processes"] / (before["batch_size"] * before["processes"]):.4g} times as many '
            'of them, and the learning rate stays as the config has it (--auto-scale-lr scales it). Weights, optimiser '
            'and teacher continue exactly.')

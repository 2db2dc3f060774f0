"""The verdicts on a training while it runs: when it has become worse for good, and which of its checkpoints to keep."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from leopart_mm.evaluation.verdict import BETTER, WORSE, compare

START = 0  # the step of the weights that training began from


def check(step: int, before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """A verdict on the weights of a step against those of the start, as plain values that a checkpoint can hold.

    Returns:
        ``step``; ``outcome``, 'better', 'worse' or 'no clear change'; ``score``, see `compare`; ``numbers``, name ->
        mean after.
    """
    verdict = compare(before, after)
    means = {name: sum(values) / len(values) for name, values in after.items()}
    return dict(step=step, outcome=verdict['outcome'], score=verdict['score'], numbers=means)


def best_step(checks: Sequence[Mapping[str, Any]]) -> int:
    """The step whose weights to keep: the clearest of those called better; 0, the start, if none was.

    >>> best_step([dict(step=10, outcome='better', score=1.5), dict(step=20, outcome='better', score=1.2)])
    10
    >>> best_step([dict(step=10, outcome='no clear change', score=.7), dict(step=20, outcome='worse', score=-3.)])
    0
    """
    better = [one for one in checks if one['outcome'] == BETTER]
    return max(better, key=lambda one: (one['score'], -one['step']))['step'] if better else START


def kept_step(checks: Sequence[Mapping[str, Any]], patience: int) -> int:
    """The step whose weights to keep in the end: `best_step`, but the start where the training has become worse.

    A training that ends worse began its way there with its first steps, and what called them better near the start
    agrees with mIoU only weakly (docs/verdict.md, the case that nobody was told of).
    """
    return START if has_become_worse(checks, patience) else best_step(checks)


def has_become_worse(checks: Sequence[Mapping[str, Any]], patience: int) -> bool:
    """Whether the last `patience` checks were all called worse than the start.

    >>> [has_become_worse([dict(outcome=one) for one in ('worse', 'better', 'worse')], n) for n in (1, 2)]
    [True, False]
    """
    return len(checks) >= patience and all(one['outcome'] == WORSE for one in checks[-patience:])


def course_words(checks: Sequence[Mapping[str, Any]], total: int, patience: int, file: str) -> list[str]:
    """What the checks led to, in sentences.

    Args:
        checks: See `check`.
        total: Steps of the whole run; with the last check before it, the run was stopped.
        patience: Number of checks in a row after which the training has become worse.
        file: The file of the kept weights.
    """
    lines, better = [], [one for one in checks if one['outcome'] == BETTER]
    if checks[-1]['step'] < total:
        in_a_row = len(list(takewhile(lambda one: one['outcome'] == WORSE, reversed(checks))))
        lines.append(f'Stopped early, after step {checks[-1]["step"]} of {total}: the last {in_a_row} '
                     f'{"checks" if in_a_row > 1 else "check"} called the features worse than before training.')
    best, holds = kept_step(checks, patience), f'so {file} holds the weights that training began from.'
    if best != START:
        lines.append(f'Kept: {file}, the weights after step {best} of {total}, the clearest of {len(better)} of '
                     f'{len(checks)} checks that called the features better than before training.')
    elif better:
        lines.append(f'Kept: the start. The training has become worse, and what earlier checks called better is not '
                     f'trusted either, {holds}')
    else:
        lines.append(f'Kept: the start. At none of {len(checks)} checks were the features better than before training '
                     f'beyond noise, {holds}')
    return lines


def course_table(before: Mapping[str, Sequence[float]], checks: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Rows of text, header first: the numbers of the start and of each check."""
    means = {name: sum(values) / len(values) for name, values in before.items()}
    rows = [['step', *means, 'says'], ['0', *(f'{value:.3f}' for value in means.values()), 'the start']]
    return rows + [[str(one['step']), *(f'{one["numbers"][name]:.3f}' for name in means), one['outcome']]
                   for one in checks]

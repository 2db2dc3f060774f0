"""Better, worse, or no clear change: features before and after a training, compared without labels."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MIN_IMAGES = 8
BETTER, WORSE, UNCLEAR = 'better', 'worse', 'no clear change'
# What other seeds of k-means and of the sampled patches do to a number on the same features (docs/verdict.md).
SEED_DEVIATION = 0.006
CLEAR = 2.  # standard errors of a difference
# Numbers that may not rise by more than this: a larger rise is worse whatever others say, any other change says
# nothing.
LIMITS = dict(colour_dependence=0.1)
MEANINGS = dict(
    neighbour_overlap='a patch finds the same similar patches in other images when it is seen in another way',
    coherence='adjacent patches are of one cluster more often than by chance',
    colour_dependence='how much of the colours of the patches their features tell')


def compare(before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]],
            limits: Mapping[str, float] = LIMITS) -> dict[str, Any]:
    """The verdict on a training.

    A number has changed clearly if its mean over the images differs by more than two standard errors. They count what
    other images would change (from the differences per image) and what other seeds would. The training has made the
    features better, or worse, if at least one number has clearly changed in this direction and none in the other. A
    number with a limit only speaks where it has risen by more than that and clearly: then the features are worse.

    Args:
        before: Name -> a value per image, before the training; see `feature_numbers`.
        after: The same for the same images after it.
        limits: Numbers that may not rise by more than this. Defaults to `LIMITS`.

    Returns:
        ``outcome``: 'better', 'worse' or 'no clear change'; ``score``: the change in units of its noise, mean over the
        numbers without a limit, by which two trainings can be ranked; ``text``: a sentence; ``lines``: further
        sentences; ``table``: rows of text, header first.

    Raises:
        ValueError: If the two do not hold the same numbers of the same number of images.
    """
    if {name: len(values) for name, values in before.items()} != {name: len(values) for name, values in after.items()}:
        raise ValueError('A verdict compares the same numbers of the same images: before has '
                         f'{sorted(before)}, after has {sorted(after)}.')
    rows, signs, over, ratios = [('number', 'before', 'after', 'change', 'noise', 'says')], [], [], []
    for name in before:
        old, new = np.array(before[name], float), np.array(after[name], float)
        change = float((new - old).mean())
        noise = CLEAR * math.hypot((new - old).std(ddof=1) / math.sqrt(len(old)), math.sqrt(2) * SEED_DEVIATION)
        sign = 0 if not abs(change) > noise else int(math.copysign(1, change))
        if name in limits:
            sign = -1 if sign > 0 and change > limits[name] else 0
            over += [name] * (sign < 0)
        else:
            ratios.append(change / noise)
        signs.append(sign)
        rows.append((name, f'{old.mean():.3f}', f'{new.mean():.3f}', f'{change:+.3f}', f'±{noise:.3f}',
                     {1: BETTER, -1: WORSE, 0: UNCLEAR}[sign]))
    outcome = BETTER if 1 in signs and -1 not in signs else WORSE if -1 in signs and 1 not in signs else UNCLEAR
    outcome = WORSE if over else outcome
    return dict(outcome=outcome, score=sum(ratios) / max(len(ratios), 1), text=_sentence(outcome, signs, over),
                table=[list(row) for row in rows],
                lines=[f'Compared without labels, on the same {len(next(iter(before.values())))} training images.',
                       *[f'{name}: {MEANINGS[name]}; {_direction(name)}.' for name in before if name in MEANINGS]])


def _direction(name: str) -> str:
    return f'a rise by more than {LIMITS[name]} is worse' if name in LIMITS else 'more is better'


def _sentence(outcome: str, signs: Sequence[int], over: Sequence[str]) -> str:
    if outcome == BETTER:
        return 'Better: the features are more consistent after this training than before it.'
    if over:
        return ('Worse: the features follow the colours of the images much more after this training than before it, '
                'which went with a lower mIoU on labelled data. Prefer the weights from before it; a lower learning '
                'rate or more images may help.')
    if outcome == WORSE:
        return ('Worse: the features are less consistent after this training than before it. Prefer the weights from '
                'before it; a lower learning rate or more images may help.')
    if any(signs):
        return 'No clear change: one number says better and another worse, so neither can be told.'
    return 'No clear change: the differences are within the noise of these numbers.'

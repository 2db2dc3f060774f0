"""Better, worse, or no clear change: by paired differences and their noise."""

import pytest

from leopart_mm.evaluation.verdict import compare

LOW, HIGH = [.1, .3, .2, .4] * 4, [.3, .5, .4, .6] * 4


def outcome(before, after):
    return compare(before, after)['outcome']


def test_a_clear_rise_is_better_and_a_clear_fall_worse():
    """Images differ by more than the training changes, but each of them changes alike."""
    verdict = compare(dict(a=LOW, b=LOW), dict(a=HIGH, b=HIGH))
    assert verdict['outcome'] == 'better'
    assert verdict['text'].startswith('Better: ')
    # No deviation of the differences: the noise is twice the root of two seeds' variances, 2 * 1.414 * 0.006.
    assert verdict['table'][1] == ['a', '0.250', '0.450', '+0.200', '±0.017', 'better']
    worse = compare(dict(a=HIGH, b=HIGH), dict(a=LOW, b=LOW))
    assert worse['outcome'] == 'worse'
    assert 'Prefer the weights from before' in worse['text']


def test_nothing_within_the_noise():
    assert outcome(dict(a=LOW), dict(a=LOW)) == 'no clear change'
    assert outcome(dict(a=LOW), dict(a=[value + .016 for value in LOW])) == 'no clear change'
    assert outcome(dict(a=LOW), dict(a=[value + .018 for value in LOW])) == 'better'


def test_images_that_disagree_are_noise():
    """A mean rise of 0.02 from changes of +0.2 and -0.16: the standard error is 0.046."""
    after = [value + (.2 if number % 2 else -.16) for number, value in enumerate(LOW)]
    assert outcome(dict(a=LOW), dict(a=after)) == 'no clear change'


def test_one_clear_number_decides_unless_another_disagrees():
    assert outcome(dict(a=LOW, b=LOW), dict(a=HIGH, b=LOW)) == 'better'
    verdict = compare(dict(a=LOW, b=HIGH), dict(a=HIGH, b=LOW))
    assert verdict['outcome'] == 'no clear change'
    assert 'one number says better and another worse' in verdict['text']


def test_features_that_follow_colours_are_worse_whatever_else_rises():
    """The limit of colour_dependence is 0.1; below it, and where it falls, it says nothing."""
    follows = [value + .11 for value in LOW]
    verdict = compare(dict(a=LOW, colour_dependence=LOW), dict(a=HIGH, colour_dependence=follows))
    assert verdict['outcome'] == 'worse'
    assert 'follow the colours of the images much more' in verdict['text']
    assert [row[-1] for row in verdict['table'][1:]] == ['better', 'worse']
    assert ('colour_dependence: how much of the colours of the patches their features tell; a rise by more than 0.1 is '
            'worse.') in verdict['lines']
    for values in ([value + .09 for value in LOW], [value - .3 for value in LOW]):
        assert outcome(dict(a=LOW, colour_dependence=LOW), dict(a=HIGH, colour_dependence=values)) == 'better'
        assert outcome(dict(colour_dependence=LOW), dict(colour_dependence=values)) == 'no clear change'
    assert compare(dict(a=LOW), dict(a=HIGH), dict(a=.1))['outcome'] == 'worse'  # another limit


def test_other_images_are_refused():
    with pytest.raises(ValueError, match='same numbers of the same images'):
        compare(dict(a=LOW), dict(a=LOW[:-1]))
    with pytest.raises(ValueError, match='same numbers'):
        compare(dict(a=LOW), dict(b=LOW))

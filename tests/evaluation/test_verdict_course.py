"""Which weights of a training are kept, and when it has become worse."""

import pytest

from leopart_mm.evaluation.verdict_course import (
    best_step,
    check,
    course_table,
    course_words,
    has_become_worse,
    kept_step,
)
from tests.evaluation.test_verdict import HIGH, LOW


def one(step, outcome, score=0.):
    return dict(step=step, outcome=outcome, score=score, numbers=dict(a=.5))


def test_a_check_compares_with_the_start():
    """The change of 0.2 in units of its noise, 2 * 1.414 * 0.006 = 0.01697."""
    found = check(7, dict(a=LOW), dict(a=HIGH))
    assert found == dict(step=7, outcome='better', score=pytest.approx(.2 / .016971, rel=1e-3),
                         numbers=dict(a=pytest.approx(.45)))


def test_only_what_is_called_better_can_replace_the_start():
    assert best_step([]) == 0
    assert best_step([one(1, 'no clear change', 9.), one(2, 'worse', 9.)]) == 0
    assert best_step([one(1, 'better', 2.), one(2, 'better', 3.), one(3, 'worse', 9.), one(4, 'better', 3.)]) == 2


def test_a_training_that_ends_worse_keeps_the_start():
    course = [one(1, 'better', 5.), one(2, 'worse'), one(3, 'worse')]
    assert [kept_step(course[:end], 2) for end in (1, 2, 3)] == [1, 1, 0]
    assert course_words(course, 3, 2, 'best.pth') == [
        'Kept: the start. The training has become worse, and what earlier checks called better is not trusted '
        'either, so best.pth holds the weights that training began from.']


def test_worse_counts_in_a_row():
    course = [one(1, 'worse'), one(2, 'no clear change'), one(3, 'worse'), one(4, 'worse')]
    assert [has_become_worse(course[:end], 2) for end in range(5)] == [False] * 4 + [True]
    assert not has_become_worse(course, 3)


def test_the_words_name_the_file_and_what_is_in_it():
    stopped = course_words([one(5, 'worse'), one(10, 'worse')], 50, 2, 'work/best_by_verdict.pth')
    assert stopped == [
        'Stopped early, after step 10 of 50: the last 2 checks called the features worse than before training.',
        'Kept: the start. At none of 2 checks were the features better than before training beyond noise, so '
        'work/best_by_verdict.pth holds the weights that training began from.']
    kept, = course_words([one(5, 'better', 4.), one(10, 'better', 3.), one(15, 'worse')], 15, 2, 'best.pth')
    assert kept == ('Kept: best.pth, the weights after step 5 of 15, the clearest of 2 of 3 checks that called the '
                    'features better than before training.')


def test_the_table_begins_with_the_start():
    assert course_table(dict(a=LOW), [one(5, 'better')]) == [
        ['step', 'a', 'says'], ['0', '0.250', 'the start'], ['5', '0.500', 'better']]

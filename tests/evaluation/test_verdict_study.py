"""The figures behind the verdict: what they say is counted, never written by hand."""

from dataclasses import replace

import pytest

from leopart_mm.evaluation.feature_numbers import VERDICT_NUMBERS
from leopart_mm.evaluation.verdict_study import StudiedCheckpoint, counts, evidence, evidence_of, judge, read_study
from tests.evaluation.test_verdict import HIGH, LOW

START = StudiedCheckpoint('photos', 'start', 0, '', True, 30., 1., 4, dict(a=.25), dict(a=LOW, b=LOW))


def after(miou, values, **options):
    return replace(START, **{**dict(name='tuned', step=5, start='start', miou=miou, per_image=dict(a=values, b=LOW)),
                             **options})


def test_a_fine_tuning_is_judged_by_miou_and_by_the_numbers():
    """Standard errors 0.5 and 0.5: mIoU has changed if it moves by more than 2 * 0.7071 = 1.414."""
    study = [START, after(31.4, HIGH), after(31.5, HIGH), after(28.5, LOW)]
    found = judge(study, ['a'])
    assert [(one.by_miou, one.verdict) for one in found] == [
        ('no clear change', 'better'), ('better', 'better'), ('worse', 'no clear change')]
    assert all(one.start is START for one in found)
    table = counts(found)
    assert sum(table.values()) == 3
    assert table['better', 'no clear change'] == table['no clear change', 'worse'] == 1
    assert [one.verdict for one in judge(study, ['b'])] == ['no clear change'] * 3


def test_a_checkpoint_begins_from_its_own_start():
    other = replace(START, name='other_start', miou=50.)
    found = judge([START, other, replace(after(40., LOW), start='other_start')], ['a'])
    assert [(one.start.name, one.by_miou) for one in found] == [('other_start', 'worse')]
    with pytest.raises(ValueError, match="lacks the checkpoint 'other_start' of photos, from which 'tuned step 5'"):
        judge([START, replace(after(40., LOW), start='other_start')], ['a'])


def test_the_sentence_counts():
    """Made later: 20, 40 and 30 mIoU from a start of 30, of which the numbers say better, better and nothing."""
    study = [START, *(after(miou, values, chosen_on=False) for miou, values in ((20., HIGH), (40., HIGH), (30., LOW))),
             replace(START, name='high', per_image=dict(a=HIGH)), after(20., LOW, start='high'), after(40., HIGH)]
    words = evidence_of(judge(study, ['a']))
    assert ('among 2 fine-tunings on labelled data, on which the numbers were chosen, mIoU agreed with 1 of 1 called '
            'worse and 1 of 1 called better, and said the opposite of 0;') in words
    assert 'among 3 made later, with 0 of 0 called worse and 1 of 2 called better, and said the opposite of 1.' in words


def test_the_shipped_study():
    """At least 20 checkpoints of three data sets; the sentence counts those that the choice did not see."""
    study = read_study()
    seen = [one for one in study if one.chosen_on]
    assert len(seen) >= 20
    assert len({one.data for one in seen}) == 3
    assert len({one.key for one in study}) == len(study)
    for one in study:
        for name in VERDICT_NUMBERS:
            values = one.per_image[name]
            assert len(values) == 64
            assert sum(values) / 64 == pytest.approx(one.numbers[name], abs=6e-4)
    later = [one for one in judge(study) if not one.after.chosen_on]
    assert f'among {len(later)} made later' in evidence()
    assert evidence() == evidence_of(judge(study))

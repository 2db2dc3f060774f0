"""The page of a training: what it shows, and that it needs nothing else."""

import math
import re
import xml.etree.ElementTree as ET

import pytest

from leopart_mm.visualization.curves import curve, ticks
from leopart_mm.visualization.training_page import TrainingReport, read_state, training_page, write_training_page

CURVES = {
    'loss': dict(steps=[10, 20, 30], values=[4., math.nan, 2.]),
    'agreement': dict(steps=[10, 20, 30], values=[0., .5, 1.]),
    'lr': dict(steps=[10, 20, 30], values=[.1, .05, 0.]),
    'val/mIoU': dict(steps=[20], values=[41.25]),
}


def report(**changes):
    given = dict(title='Training mine', status='Running: iteration 30 of 100.', running=True, curves=CURVES, total=100)
    return TrainingReport(**{**given, **changes})


def pictures(text):
    return [ET.fromstring(found) for found in re.findall(r'<svg.*?</svg>', text, re.DOTALL)]


def test_every_curve_is_drawn_with_its_last_value():
    text = training_page(report(curves=dict(CURVES, base_lr=CURVES['lr']), notes=dict(agreement='It should rise.')))
    assert len(pictures(text)) == 4  # the learning rate once, although MMEngine logs it twice
    for words in ('<b>loss</b>: 2<', '<b>agreement</b>: 1<br>It should rise.<', '<b>lr</b>: 0<', '<b>mIoU</b>: 41.25<',
                  'Validation', 'Numbers of the method', 'Schedules'):
        assert words in text
    assert not re.search(r'(src|href)="?http', text)


def test_a_running_page_loads_itself_again_and_a_finished_one_stays():
    assert '<meta http-equiv="refresh" content="7">' in training_page(report(), refresh=7)
    assert 'http-equiv="refresh"' not in training_page(report(running=False))


def test_the_line_lies_where_the_values_are():
    """0 and 1 at the ends of 0..100: the line goes from the lower left to the middle, never outside."""
    picture = ET.fromstring(curve([0, 50], [0., 1.], 'a', end=100))
    line, = picture.iter('polyline')
    (x0, y0), (x1, y1) = (map(float, pair.split(',')) for pair in line.get('points').split())
    assert x0 == pytest.approx(62)
    assert x1 == pytest.approx(62 + (520 - 62 - 14) / 2)
    assert y0 > y1
    assert y0 - y1 == pytest.approx((210 - 12 - 26) / 1.12, abs=0.2)


def test_not_finite_values_leave_a_gap():
    picture = ET.fromstring(curve([1, 2, 3, 4, 5], [1., 2., math.nan, 2., None], 'a'))
    assert [len(line.get('points').split()) for line in picture.iter('polyline')] == [2, 1]
    assert 'no finite value' in curve([1], [math.nan], 'a')
    assert 'not finite' in training_page(report(curves=dict(loss=dict(steps=[1], values=[math.nan]))))


def test_resumed_steps_are_marked():
    lines = ET.fromstring(curve([0, 9], [0, 1], 'a', [4])).iter('line')
    assert sum('stroke-dasharray' in line.attrib for line in lines) == 1


def test_constant_values_have_an_axis():
    assert 'polyline' in curve([1, 2], [0., 0.], 'a')
    assert ticks(-1, 1) == [-1.0, -0.5, 0.0, 0.5, 1.0]


def test_health_is_said_in_words():
    assert 'Is it healthy?' not in training_page(report())
    assert 'Not judged yet' in training_page(report(warnings=[]))
    assert 'Nothing unusual in the numbers up to step 30' in training_page(report(warnings=[], judged_at=30))
    assert 'usage is &lt; 0.1' in training_page(report(warnings=['usage is < 0.1'], judged_at=30))


def test_the_verdict_stands_on_top():
    text = training_page(report(verdict=dict(text='No clear change.', lines=['Two numbers.'],
                                             table=[['number', 'before'], ['a', '1']])))
    assert text.index('No clear change.') < text.index('<svg')
    assert '<td>a</td>' in text


def test_the_state_comes_back_from_the_page(tmp_path):
    state = dict(run='a', resumed=[3], curves={'</script>': dict(steps=[1, 2], values=[math.nan, .5])})
    write_training_page(tmp_path / 'a.html', report(state=state))
    assert read_state(tmp_path / 'a.html') == dict(
        run='a', resumed=[3], curves={'</script>': dict(steps=[1, 2], values=[None, .5])})
    (tmp_path / 'b.html').write_text('<html>')
    assert read_state(tmp_path / 'b.html') is None
    assert read_state(tmp_path / 'c.html') is None

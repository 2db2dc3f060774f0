"""What the page of Table 5 says about small data."""

from pathlib import Path

from leopart_mm.apis.table5_report import html_page, markdown, small_data_words
from leopart_mm.apis.table5_run import RowResult


def result(miou, std=1., seeds=10):
    return RowResult(miou, std, miou, [miou] * seeds, 60.)


def test_small_data_are_explained_row_by_row():
    results = dict(dino=result(10.3, 1.1), leopart=result(10.1, 1.2), cbfe=result(9.4, .5), cd=result(12., .3))
    words = small_data_words(80, 180, results)
    assert words[0].startswith('80 images are scored and 180 are fitted on; the paper scores 1449 and fits on 10582.')
    # 2 * sqrt((1.1² + 1.2²) / 10) = 1.03; 2 * sqrt((1.2² + 0.5²) / 10) = 0.82; 2 * sqrt((0.5² + 0.3²) / 10) = 0.37
    assert words[1] == ('+ Leopart against DINO: -0.2 mIoU, which is within what seeds do (1.0): no difference can be '
                        'told.')
    assert words[2].startswith('+ CBFE against + Leopart: -0.7 mIoU, which is within what seeds do (0.8)')
    assert words[3] == '+ CD against + CBFE: +2.6 mIoU, more than what seeds do (0.4): better on these images.'
    assert 'Fine-tuning on a few hundred images often brings nothing or harms' in words[-1]


def test_rows_that_are_missing_are_not_compared():
    assert not any('against' in line for line in small_data_words(80, 180, dict(dino=result(1.), cbfe=result(2.))))


def test_large_data_need_no_words():
    assert small_data_words(1449, 10582, dict(dino=result(4.6))) == []
    text = markdown(dict(dino=result(4.6)), {}, ['data: x'])
    assert 'few images' not in text
    assert 'few images' not in html_page({}, {}, [], Path('nowhere'))


def test_report_and_page_say_it():
    words = small_data_words(80, 180, {})
    assert '## What so few images mean\n\n- 80 images are scored' in markdown({}, {}, [], words)
    assert '<h2>What so few images mean</h2>' in html_page({}, {}, [], Path('nowhere'), words)

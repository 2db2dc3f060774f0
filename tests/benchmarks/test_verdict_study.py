"""docs/verdict.md says what the figures of the study say."""

from dataclasses import replace

import pytest

from benchmarks.verdict import document, tables
from benchmarks.verdict.study import write_study
from leopart_mm.evaluation.verdict_study import STUDY, StudiedCheckpoint, read_study


def checkpoint(data, miou, **numbers):
    return StudiedCheckpoint(data, f'{miou}', 1, 'start', True, miou, 1., 5, numbers, {})


def test_the_document_is_made_from_the_figures():
    text = document.DOCUMENT.read_text(encoding='utf-8')
    assert text == document.filled(text, read_study()), 'run python -m benchmarks.verdict.document'


def test_a_missing_block_is_named():
    with pytest.raises(ValueError, match=r'each of .*verdicts'):
        document.filled('<!-- begin verdicts -->\n<!-- end verdicts -->\n', read_study())


def test_ranks_are_taken_within_data_sets():
    """Hand-computed: ranks 1 2 3 against 1 3 2 in one set (0.5), 1 2 3 against 1 2 3 in the other (1): 0.75 pooled."""
    photos = [checkpoint('photos', 10., a=5.), checkpoint('photos', 20., a=9.), checkpoint('photos', 30., a=7.)]
    scenes = [checkpoint('scenes', 70., a=.1), checkpoint('scenes', 80., a=.2), checkpoint('scenes', 90., a=.3)]
    assert tables.spearman(photos, 'a') == pytest.approx(.5)
    assert tables.spearman(photos + scenes, 'a') == pytest.approx(.75)
    assert tables.spearman(photos + scenes[:2], 'a') == pytest.approx(.5)  # two have no ranks to speak of
    assert tables.signed(tables.spearman(scenes[:2], 'a')) == '-'


def test_the_choice_takes_either_sign():
    study = [checkpoint('photos', 10. * n, rises=n, falls=-n, mixed=n % 2) for n in range(1, 5)]
    assert tables.choose(study, ['mixed', 'rises', 'falls']) == ['falls', 'rises']


def test_the_held_out_data_have_no_part_in_the_choice():
    """Changing the figures of a data set changes neither the choice for it nor that for itself."""
    study = read_study()
    row = [line.split('|')[2] for line in tables.left_out(study).splitlines()[2:]]
    data = tables.data_sets(study)[0]
    turned = [replace(one, miou=-one.miou) if one.data == data else one for one in study]
    others = [line.split('|')[2] for line in tables.left_out(turned).splitlines()[2:]]
    names = [[part.split('(')[0].strip() for part in cell.split(',')] for cell in (row[0], others[0])]
    assert names[0] == names[1]


def test_a_study_is_written_as_it_ships(tmp_path):
    write_study(tmp_path / 'study.json', read_study())
    assert (tmp_path / 'study.json').read_text(encoding='utf-8') == STUDY.read_text(encoding='utf-8')
    assert '| 66.3' not in tables.differences(read_study(), [])

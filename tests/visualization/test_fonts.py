"""Letters in pictures: those that DejaVu Sans lacks come from another font."""

import numpy as np
import pytest

from leopart_mm.visualization import fonts
from leopart_mm.visualization.panels import fitting_text, text_width, write_text


def drawn(text):
    picture = np.full((20, 120, 3), 255, np.uint8)
    write_text(picture, text, (2, 15))
    return picture


def fonts_of(text):
    return [(part, font.path) for part, font in fonts.parts_by_font(text, 12)]


@pytest.mark.parametrize('text', ['cow & <calf>', 'Kühe, коровы, αγελάδες', 'קטה', 'قطة', ''])
def test_common_scripts_are_in_one_font(text):
    assert fonts_of(text) == [(text, str(fonts.DEJAVU))]


def test_a_letter_of_another_font():
    [(text, font)] = fonts_of('A \u24b6')  # a circled letter, which STIX has
    assert text == 'A \u24b6'
    assert font != str(fonts.DEJAVU)
    assert {ord('A'), ord(' '), 0x24b6} <= fonts._letters(font)


def test_letters_of_no_font_are_replaced_and_named_once(monkeypatch):
    said = []
    monkeypatch.setattr(fonts, 'print_log', lambda text, **_: said.append(text))
    monkeypatch.setattr(fonts, '_SAID', set())
    text = 'A\u24b6 \U0010fffd\u200d\ufe0f\U0010fffc b'
    parts = fonts_of(text)
    assert ''.join(part for part, _ in parts).replace('\u200d', '').replace('\ufe0f', '') == 'A\u24b6 \ufffd\ufffd b'
    assert [font == str(fonts.DEJAVU) for _, font in parts] == [True, False, True]  # each letter in a font that has it
    assert all(set(map(ord, part)) <= fonts._letters(font) for part, font in parts)
    assert np.array_equal(drawn('\U0010fffd b'), drawn('\ufffd b'))
    assert (drawn('a\U0010fffd') != drawn('a')).any()
    assert len(said) == 1
    assert 'U+10FFFD' in said[0]
    assert 'U+10FFFC' in said[0]


def test_without_another_font(monkeypatch):
    monkeypatch.setattr(fonts, '_system_fonts', lambda: ('/not/there.ttf', ))
    fonts._system_font.cache_clear()
    assert fonts_of('\u732bx') == [('\ufffdx', str(fonts.DEJAVU))]
    fonts._system_font.cache_clear()


def test_lines_and_long_texts():
    assert np.array_equal(drawn('a\nb'), drawn('a b'))
    assert fitting_text('short', 100) == 'short'
    cut = fitting_text('much too long for so few pixels', 60)
    assert cut.endswith('…')
    assert text_width(cut) <= 60 < text_width('much too long for so few pixels')

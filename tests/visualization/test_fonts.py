"""Letters in pictures: those that DejaVu Sans lacks come from another font."""

import numpy as np
import pytest

from leopart_mm.visualization import fonts
from leopart_mm.visualization.panels import fitting_text, text_width, write_text


def drawn(text):
    picture = np.full((20, 120, 3), 255, np.uint8)
    write_text(picture, text, (2, 15))
    return picture


@pytest.mark.parametrize('text', ['cow & <calf>', 'Kühe, коровы, αγελάδες', 'קטה', 'قطة', ''])
def test_common_scripts_are_in_one_font(text):
    assert fonts.font_for(text, 12).path == str(fonts.DEJAVU)


def test_a_letter_of_another_font():
    font = fonts.font_for('A \u24b6', 12)  # a circled letter, which STIX has
    assert font.path != str(fonts.DEJAVU)
    assert {ord('A'), ord(' '), 0x24b6} <= fonts._letters(font.path)
    assert not np.array_equal(drawn('\u24b6'), drawn('\U0010fffd'))  # no box


def test_a_letter_of_no_font_becomes_a_box(monkeypatch):
    fonts._system_font.cache_clear()
    monkeypatch.setattr(fonts, '_system_fonts', lambda: ('/not/there.ttf', ))
    assert fonts.font_for('\u732b', 12).path == str(fonts.DEJAVU)
    fonts._system_font.cache_clear()
    assert (drawn('\U0010fffd') < 128).any()


def test_lines_and_long_texts():
    assert np.array_equal(drawn('a\nb'), drawn('a b'))
    assert fitting_text('short', 100) == 'short'
    cut = fitting_text('much too long for so few pixels', 60)
    assert cut.endswith('…')
    assert text_width(cut) <= 60 < text_width('much too long for so few pixels')

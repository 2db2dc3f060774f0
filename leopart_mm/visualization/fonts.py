"""Fonts for texts in pictures."""

import logging
import unicodedata
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from mmengine.logging import print_log
from PIL import ImageFont

from leopart_mm.files import shorten

# Matplotlib brings it: Latin, Greek, Cyrillic, Arabic and Hebrew letters, and many signs.
DEJAVU = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf'

PLAIN = (400, 'normal', 'regular')
REPLACEMENT = '\ufffd'  # Unicode's sign for a letter that cannot be shown; DejaVu Sans has it
_SAID: set[str] = set()  # letters that a message has named


def parts_by_font(text: str, size: int) -> list[tuple[str, ImageFont.FreeTypeFont]]:
    """A text in parts, from left to right, each with a font of `size` pixels that has its letters.

    One part where one font has them all: DejaVu Sans, else one of the system. A letter of no font, such as most emoji,
    becomes `REPLACEMENT`, which is said once; signs without a font that only join or vary letters are left out.
    """
    font = _font_for(text, size)
    if font is not None:
        return [(text, font)]
    dejavu = _open(str(DEJAVU), size)
    found = [(letter, _font_for(letter, size)) for letter in text]
    found = [(letter, font) for letter, font in found if font is not None or not _is_invisible(letter)]
    _say_missing([letter for letter, font in found if font is None])
    shown = [(REPLACEMENT, dejavu) if font is None else (letter, font) for letter, font in found]
    groups = [list(group) for _, group in groupby(shown, key=lambda pair: pair[1].path)]
    return [(''.join(letter for letter, _ in group), group[0][1]) for group in groups]


def _font_for(text: str, size: int) -> ImageFont.FreeTypeFont | None:
    letters = frozenset(map(ord, text))
    return _open(str(DEJAVU), size) if letters <= _letters(str(DEJAVU)) else _system_font(letters, size)


def _is_invisible(letter: str) -> bool:
    """Whether a sign is a joiner or a variation selector, of which emoji are made."""
    return unicodedata.category(letter) == 'Cf' or 'VARIATION SELECTOR' in unicodedata.name(letter, '')


def _say_missing(letters: list[str]) -> None:
    new = [letter for letter in dict.fromkeys(letters) if letter not in _SAID]
    if new:
        _SAID.update(new)
        named = shorten((f'{letter} (U+{ord(letter):04X})' for letter in new), 10)
        print_log(f'No font of this machine has {named}: pictures show {REPLACEMENT} instead. HTML pages and exports '
                  'hold the letters as they are.', logger='current', level=logging.WARNING)


@lru_cache(maxsize=64)
def _system_font(letters: frozenset[int], size: int) -> ImageFont.FreeTypeFont | None:
    """The first font of the system that has all of these letters and is drawn at any size; None if there is none."""
    for file in _system_fonts():
        try:
            if letters <= _letters(file):
                return _open(file, size)
        except (OSError, RuntimeError):  # damaged, or of fixed sizes as fonts of emoji are
            continue
    return None


@lru_cache(maxsize=1)
def _system_fonts() -> tuple[str, ...]:
    from matplotlib.font_manager import fontManager  # looks for fonts when it is imported first
    plain = [font.fname for font in fontManager.ttflist if font.style == 'normal' and font.weight in PLAIN]
    return tuple(file for file in dict.fromkeys(plain) if 'LastResort' not in file)  # which has a box for any letter


@lru_cache(maxsize=1024)
def _letters(file: str) -> frozenset[int]:
    return frozenset(FT2Font(file).get_charmap())


@lru_cache(maxsize=64)
def _open(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)

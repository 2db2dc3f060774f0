"""Fonts for texts in pictures."""

from functools import lru_cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

# Matplotlib brings it: Latin, Greek, Cyrillic, Arabic and Hebrew letters, and many signs.
DEJAVU = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf'

PLAIN = (400, 'normal', 'regular')


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont:
    """A font of `size` pixels that has the letters of a text: DejaVu Sans, else one of the system that has them all.

    Without any such font, letters become boxes.
    """
    letters = frozenset(map(ord, text))
    found = None if letters <= _letters(str(DEJAVU)) else _system_font(letters, size)
    return found or _open(str(DEJAVU), size)


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

"""Self-contained HTML pages: every picture lies inside the file, nothing is fetched."""

import base64
import html
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from leopart_mm.datasets.image_reading import read_image
from leopart_mm.files import encode_image, write_text_whole

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 110em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
th, td { border: 1px solid #ccc; padding: .3em .8em; text-align: right }
th:first-child, td:first-child { text-align: left } th { background: #f3f3f3 }
img { max-width: 100%; image-rendering: pixelated; display: block; margin: .3em 0 }
figure { margin: 1em 0 } figcaption { color: #555 } code { background: #f3f3f3 }
.swatch { display: inline-block; width: 1em; height: 1em; border-radius: 3px; margin-right: .5em }
"""


class Markup(str):
    """Text that is HTML already. All other text that the functions of this module take is escaped."""


def page(title: str, *parts: object) -> str:
    """A whole page.

    Args:
        title: Title and first heading, plain text.
        *parts: Results of the functions below; plain text becomes a paragraph.
    """
    body = '\n'.join(part if isinstance(part, Markup) else paragraph(part) for part in parts)
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
            f'<style>{STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n')


def write_page(path: str | os.PathLike, title: str, *parts: object) -> None:
    """Write a `page` in one step.

    Raises:
        OSError: If the file cannot be written.
    """
    write_text_whole(path, page(title, *parts))


def paragraph(text: object) -> Markup:
    """A paragraph of plain text."""
    return Markup(f'<p>{escape(text)}</p>')


def heading(text: str) -> Markup:
    """A section heading."""
    return Markup(f'<h2>{escape(text)}</h2>')


def bullets(lines: Iterable[object]) -> Markup:
    """A list with one bullet per line."""
    return Markup(f'<ul>{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>')


def details(summary: str, text: object) -> Markup:
    """Preformatted text that is shown on a click on `summary`."""
    return Markup(f'<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>')


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> Markup:
    """A table; the first column is aligned to the left, the others to the right.

    >>> table(['<a>', 'b'], [[1, Markup('<b>2</b>')]])
    '<table><tr><th>&lt;a&gt;</th><th>b</th></tr><tr><td>1</td><td><b>2</b></td></tr></table>'
    """
    lines = [''.join(f'<th>{escape(cell)}</th>' for cell in header),
             *(''.join(f'<td>{escape(cell)}</td>' for cell in row) for row in rows)]
    return Markup(f'<table>{"".join(f"<tr>{line}</tr>" for line in lines)}</table>')


def swatch(colour: Sequence[int]) -> Markup:
    """A small square of an RGB colour."""
    return Markup('<span class="swatch" style="background:#{:02x}{:02x}{:02x}"></span>'.format(*map(int, colour)))


def image(picture: np.ndarray | str | os.PathLike, alt: str = '', lossless: bool = False) -> Markup:
    """A picture inside the page.

    Args:
        picture: (H, W, 3) uint8 RGB, or an image file.
        alt: Description of the picture in words.
        lossless: Store it as PNG, exact; default: as JPEG, a tenth of the size.
    """
    array = picture if isinstance(picture, np.ndarray) else read_image(Path(picture), 'rgb')
    suffix, kind = ('.png', 'png') if lossless else ('.jpg', 'jpeg')
    data = base64.b64encode(encode_image(array, suffix, quality=85)).decode()
    return Markup(f'<img src="data:image/{kind};base64,{data}" alt="{escape(alt)}">')


def figure(picture: np.ndarray | str | os.PathLike, caption: str, lossless: bool = True) -> Markup:
    """A picture with a caption; see `image`."""
    return Markup(f'<figure>{image(picture, caption, lossless)}<figcaption>{escape(caption)}</figcaption></figure>')


def escape(text: object) -> Markup:
    """Plain text as HTML; what is HTML already stays."""
    return text if isinstance(text, Markup) else Markup(html.escape(str(text)))

"""Self-contained HTML pages: pictures inside the file, no network."""

import base64
import html
from collections.abc import Sequence

import cv2
import numpy as np

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
th, td { border: 1px solid #ccc; padding: .3em .8em; text-align: right }
th:first-child, td:first-child { text-align: left } th { background: #f3f3f3 }
img { max-width: 100%; image-rendering: pixelated } figcaption { color: #555 } code { background: #f3f3f3 }
"""


def page(title: str, *parts: str) -> str:
    """A whole page from HTML fragments."""
    body = '\n'.join(parts)
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
            f'<style>{STYLE}</style></head>\n<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n')


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f'<p>{html.escape(text)}</p>'


def heading(text: str) -> str:
    """A section heading."""
    return f'<h2>{html.escape(text)}</h2>'


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; the first column is left-aligned."""
    head = ''.join(f'<th>{html.escape(cell)}</th>' for cell in header)
    body = ''.join('<tr>' + ''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row) + '</tr>' for row in rows)
    return f'<table><tr>{head}</tr>{body}</table>'


def picture(image: np.ndarray | bytes, caption: str = '') -> str:
    """An (H, W, 3) uint8 RGB array, or the bytes of a PNG file, as a figure inside the page."""
    if isinstance(image, np.ndarray):
        done, encoded = cv2.imencode('.png', image[..., ::-1])
        if not done:
            raise ValueError(f'An array of shape {image.shape} and type {image.dtype} is no RGB picture.')
        image = encoded.tobytes()
    data = base64.b64encode(image).decode()
    return (f'<figure><img src="data:image/png;base64,{data}" alt="{html.escape(caption)}">'
            f'<figcaption>{html.escape(caption)}</figcaption></figure>')

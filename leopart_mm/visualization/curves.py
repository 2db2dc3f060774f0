"""Curves as SVG inside a page: no library, no script, no other file."""

import math
from collections.abc import Sequence

from leopart_mm.visualization.html import Markup, escape

WIDTH, HEIGHT = 520, 210
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 26
LINE, DOT = '#1f6feb', '#0a3069'


def curve(steps: Sequence[float], values: Sequence[float | None], title: str, marks: Sequence[float] = (),
          end: float | None = None) -> Markup:
    """A curve with its axes.

    Args:
        steps: Steps, increasing.
        values: A value per step. Those that are None or not finite leave a gap.
        title: What it shows, for readers who do not see it.
        marks: Steps that get a dashed vertical line.
        end: Right end of the horizontal axis; None: the last step.
    """
    points = [(step, value) for step, value in zip(steps, values, strict=True)
              if value is not None and math.isfinite(value)]
    if not points:
        return Markup(f'<p>{escape(title)}: no finite value yet.</p>')
    low, high = _range([value for _, value in points])
    first, last = min(0, steps[0]), max(end or 0, steps[-1], steps[0] + 1)

    def x(step: float) -> str:
        return f'{LEFT + (step - first) / (last - first) * (WIDTH - LEFT - RIGHT):.1f}'

    def y(value: float) -> str:
        return f'{TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM):.1f}'

    parts = []
    for tick in ticks(low, high):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick)}" y2="{y(tick)}" stroke="#e4e4e4"/>'
                     f'<text x="{LEFT - 6}" y="{y(tick)}" dy=".32em" text-anchor="end">{short(tick)}</text>')
    for tick in ticks(first, last):
        parts.append(f'<text x="{x(tick)}" y="{HEIGHT - 8}" text-anchor="middle">{short(tick)}</text>')
    parts += [f'<line x1="{x(mark)}" x2="{x(mark)}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#999" '
              f'stroke-dasharray="3 3"><title>resumed at {short(mark)}</title></line>' for mark in marks]
    parts += [f'<polyline fill="none" stroke="{LINE}" stroke-width="1.6" points="'
              f'{" ".join(f"{x(step)},{y(value)}" for step, value in piece)}"/>' for piece in _pieces(steps, values)]
    dots = points if len(points) <= 60 else points[-1:]  # each tells its value under the pointer
    parts += [f'<circle cx="{x(step)}" cy="{y(value)}" r="2.2" fill="{DOT}"><title>step {short(step)}: {short(value)}'
              '</title></circle>' for step, value in dots]
    return Markup(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" font-size="11" '
                  f'fill="#555">{"".join(parts)}</svg>')


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers within a range, about `wanted` of them.

    >>> ticks(0, 2000), ticks(4.31, 5.02)
    ([0.0, 500.0, 1000.0, 1500.0, 2000.0], [4.4, 4.6, 4.8, 5.0])
    """
    raw = (high - low) / wanted
    power = 10. ** math.floor(math.log10(raw))
    step = power * min((factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999), default=10)
    start, stop = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(start, stop + 1)]


def short(value: float) -> str:
    """A number in few characters.

    >>> short(2000), short(0.000125), short(4.6000001), short(-0.0)
    ('2000', '0.000125', '4.6', '0')
    """
    if value == int(value) and abs(value) < 1e7:
        return str(int(value))
    return f'{value:.4g}'


def _range(values: Sequence[float]) -> tuple[float, float]:
    """A little more than the range of the values, never empty."""
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.1 * abs(high) or 1.
    return low - room, high + room


def _pieces(steps: Sequence[float], values: Sequence[float | None]) -> list[list[tuple[float, float]]]:
    """Runs of finite values."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for step, value in zip(steps, values, strict=True):
        if value is None or not math.isfinite(value):
            pieces.append([])
        else:
            pieces[-1].append((step, value))
    return [piece for piece in pieces if piece]

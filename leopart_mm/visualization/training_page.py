"""The page of a training: where it stands, whether it is healthy, and its curves."""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leopart_mm.files import write_text_whole
from leopart_mm.visualization import html
from leopart_mm.visualization.curves import curve, short
from leopart_mm.visualization.html import Markup, escape

DATA = 'training-data'
STYLE = Markup("""<style>
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(26em, 1fr)); gap: 1em 2em }
.curves figure { margin: 0 } .curves svg { width: 100%; height: auto; background: #fff; border: 1px solid #e4e4e4 }
.curves b { color: #222 } .now { font-size: 1.15em } .warning { background: #fff3cd; padding: .5em 1em }
.verdict { background: #eef6ff; padding: .5em 1em }
</style>""")
# Sections of the page: title, and the beginnings of the names of its curves. What no section names is a number that the
# method reports about itself.
OTHERS = ('time', 'data_time', 'memory', 'grad_norm')
SCHEDULES = ('lr', 'base_lr', 'momentum', 'weight_decay', 'teacher_momentum')
VALIDATION = 'val/'


@dataclass
class TrainingReport:
    """What the page tells.

    Args:
        title: Name of the run.
        status: Where it stands, in one sentence.
        running: Whether the page is to load itself again.
        facts: What was run: config, log, seed, data.
        curves: Name -> ``dict(steps, values)``; names of validation scores begin with ``val/``.
        resumed: Steps at which the run was resumed.
        total: Number of steps of the whole run.
        warnings: What is wrong with the training, in words; None: nobody judges it.
        judged_at: Step at which that was judged; None: not yet.
        notes: Name -> what a curve of the method means.
        verdict: The verdict without labels: ``dict(text, lines, table)``, and ``course``, a
            table of the checks while it ran; None: there is none.
        state: What the page keeps for a resumed run.
    """

    title: str
    status: str
    running: bool
    facts: Sequence[str] = ()
    curves: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    resumed: Sequence[int] = ()
    total: int | None = None
    warnings: Sequence[str] | None = None
    judged_at: int | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    verdict: Mapping[str, Any] | None = None
    state: Mapping[str, Any] = field(default_factory=dict)


def write_training_page(path: str | os.PathLike, report: TrainingReport, refresh: int = 10) -> None:
    """Write the page in one step.

    Args:
        path: The file.
        report: What it tells.
        refresh: Seconds after which a browser loads the page of a running training again.

    Raises:
        OSError: If the file cannot be written.
    """
    write_text_whole(path, training_page(report, refresh))


def training_page(report: TrainingReport, refresh: int = 10) -> str:
    """The page as text; see `write_training_page`."""
    parts: list[object] = [STYLE, Markup(f'<p class="now">{escape(report.status)}</p>')]
    if report.verdict:
        parts += _verdict(report.verdict)
    parts += _health(report)
    for title, names in sections(report.curves):
        if names:
            parts += [html.heading(title), _panels(report, names)]
    parts += [html.heading('About this run'), html.bullets(report.facts)]
    data = json.dumps(finite(report.state)).replace('<', '\\u003c')
    parts.append(Markup(f'<script type="application/json" id="{DATA}">{data}</script>'))
    text = html.page(report.title, *parts)
    if not report.running:
        return text
    return text.replace('<head>', f'<head><meta http-equiv="refresh" content="{refresh}">', 1)


def read_state(path: str | os.PathLike) -> dict[str, Any] | None:
    """What a page keeps for a resumed run; None if there is no such page, or it cannot be read."""
    try:
        text = Path(path).read_text(encoding='utf-8')
        found = re.search(rf'<script type="application/json" id="{DATA}">(.*?)</script>', text, re.DOTALL)
        state = json.loads(found.group(1)) if found else None
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def sections(curves: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Titles of the sections of a page and the names of their curves.

    >>> [names for _, names in sections(dict.fromkeys(['lr', 'loss', 'agreement', 'val/mIoU', 'loss_cls', 'time']))]
    [['loss', 'loss_cls'], ['val/mIoU'], ['agreement'], ['lr'], ['time']]
    """
    loss = [name for name in curves if 'loss' in name and not name.startswith(VALIDATION)]
    scores = [name for name in curves if name.startswith(VALIDATION)]
    schedules = [name for name in curves if name in SCHEDULES
                 and not (name == 'base_lr' and curves[name] == curves.get('lr'))]  # MMEngine logs it twice
    others = [name for name in curves if name in OTHERS]
    rest = [name for name in curves if name not in {*loss, *scores, *SCHEDULES, *others}]
    return [('Loss', loss), ('Validation', scores), ('Numbers of the method', rest), ('Schedules', schedules),
            ('Speed and memory', others)]


def finite(value: Any) -> Any:
    """The same with None for numbers that JSON cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def _panels(report: TrainingReport, names: Sequence[str]) -> Markup:
    panels = []
    for name in names:
        points = report.curves[name]
        last = points['values'][-1] if points['values'] else None
        now = 'not finite' if last is None or not math.isfinite(last) else short(last)
        title = name.removeprefix(VALIDATION)
        note = Markup(f'<br>{escape(report.notes[name])}') if name in report.notes else ''
        picture = curve(points['steps'], points['values'], f'{title} by step', report.resumed, report.total)
        caption = f'<figcaption><b>{escape(title)}</b>: {now}{note}</figcaption>'
        panels.append(f'<figure>{caption}{picture}</figure>')
    return Markup(f'<div class="curves">{"".join(panels)}</div>')


def _health(report: TrainingReport) -> list[object]:
    if report.warnings is None:
        return []
    if report.judged_at is None:
        return [html.heading('Is it healthy?'), html.paragraph('Not judged yet.')]
    if not report.warnings:
        return [html.heading('Is it healthy?'),
                html.paragraph(f'Nothing unusual in the numbers up to step {report.judged_at}.')]
    lines = ''.join(f'<li>{escape(line)}</li>' for line in report.warnings)
    return [html.heading('Is it healthy?'),
            Markup(f'<div class="warning">At step {report.judged_at}:<ul>{lines}</ul></div>')]


def _verdict(verdict: Mapping[str, Any]) -> list[object]:
    parts: list[object] = [html.heading('Is it better now?'),
                           Markup(f'<p class="verdict"><b>{escape(verdict["text"])}</b></p>')]
    if verdict.get('table'):
        parts.append(html.table(verdict['table'][0], verdict['table'][1:]))
    parts += map(html.paragraph, verdict.get('lines', ()))
    if verdict.get('course'):
        parts += [html.paragraph('While it ran:'), html.table(verdict['course'][0], verdict['course'][1:])]
    return parts

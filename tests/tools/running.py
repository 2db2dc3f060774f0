"""Running a tool in this process: each start of Python would cost many seconds of imports."""

import runpy
import sys

from mmengine.logging import MMLogger
from mmengine.visualization import Visualizer

from tests.paths import REPO


def run_tool(monkeypatch, capsys, tool, *arguments):
    """Run tools/<tool> with arguments; returns exit status, what it printed, and its error text.

    Loggers and visualizers of earlier runs, which MMEngine keeps by name for the whole process, are forgotten: their
    streams are closed, and a new process would have none.
    """
    for kind in (MMLogger, Visualizer, *Visualizer.__subclasses__()):
        kind._instance_dict.clear()
    monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
    status = 0
    try:
        runpy.run_path(str(REPO / 'tools' / tool), run_name='__main__')
    except SystemExit as stop:
        status = stop.code or 0
        if isinstance(status, str):
            print(status, file=sys.stderr)
            status = 1
    output = capsys.readouterr()
    return status, output.out, output.err

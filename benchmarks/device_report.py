"""All equality checks and benchmarks of a device within a time, kept in a JSON, and the page about them."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.base import Entry, Measurement
from benchmarks.device import describe_machine
from benchmarks.device_checks import Check
from benchmarks.report import as_markdown, remarks_of, tables_of
from leopart_mm.doctor import version_of
from leopart_mm.files import write_text_whole

PACKAGES = ('torch', 'torchvision', 'timm', 'mmengine', 'mmcv-lite', 'mmcv', 'mmsegmentation', 'mmpretrain')


class DeviceReport:
    """What is known of a device; whatever is done is kept in a file at once.

    Args:
        file: The JSON. What it holds is not done again; a check or benchmark that failed is.
        device: The device, as torch names it.
        quick: Whether benchmarks run with tiny inputs.

    Raises:
        ValueError: If the file is about another device or other versions.
    """

    def __init__(self, file: Path, device: str, quick: bool = False) -> None:
        self.file, self.device, self.quick = file, device, quick
        about = dict(describe_machine(device), versions={
            name: version for name in PACKAGES if (version := version_of(name)) is not None}, quick=quick)
        self.state: dict[str, Any] = dict(about=about, checks={}, benchmarks={}, skipped={})
        if file.is_file():
            self.state = json.loads(file.read_text())
            if self.state['about'] != about:
                raise ValueError(f'{file} is about {self.state["about"]}, and this is {about}: give another --out, or '
                                 'remove it.')

    def run_checks(self, checks: Mapping[str, Check], until: float, say: Callable[[str], None]) -> None:
        """Run what is not done, until a moment of `time.monotonic`."""
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # float32 means float32
        for name, check in checks.items():
            if 'rows' in self.state['checks'].get(name, {}):
                continue
            if time.monotonic() >= until:
                self._skip(name, 'no time was left')
                continue
            say(f'check: {name}')
            start = time.monotonic()
            try:
                rows = [[*comparison, comparison.passed] for comparison in check(torch.device(self.device))]
                self._keep('checks', name, dict(rows=rows, seconds=time.monotonic() - start))
            except Exception as error:  # the others can still say something
                self._keep('checks', name, dict(error=f'{type(error).__name__}: {error}'))

    def run_benchmarks(self, benchmarks: Mapping[str, type[Entry]], until: float, say: Callable[[str], None]) -> None:
        """Run what is not done, the figures of training first, then what works on the device, short ones first."""
        from benchmarks.runner import run_benchmark
        kind = torch.device(self.device).type

        def place(name: str) -> tuple:
            cls = benchmarks[name]
            return not issubclass(cls, Measurement), 'cuda' not in cls.devices, cls.expected, name

        for name in sorted(benchmarks, key=place):
            cls, left = benchmarks[name], until - time.monotonic()
            if 'total' in self.state['benchmarks'].get(name, {}):
                continue
            if kind not in cls.devices:
                self._skip(name, f'it has no path on {kind}')
            elif left < cls.expected:
                self._skip(name, f'it takes about {cls.expected:.0f} s, and {max(left, 0):.0f} s were left')
            else:
                say(f'benchmark: {name}, {left:.0f} s are left')
                try:
                    found = run_benchmark(name, self.quick, limit=left, device=self.device, brief=True)
                    self._keep('benchmarks', name, found)
                except TimeoutError as error:
                    self._skip(name, str(error))
                except RuntimeError as error:
                    self._keep('benchmarks', name, dict(error=str(error)))

    def failures(self) -> list[str]:
        """Names of checks and benchmarks that failed, or whose results are not the same."""
        checks = [name for name, found in self.state['checks'].items()
                  if 'error' in found or not all(row[-1] for row in found['rows'])]
        return checks + [name for name, found in self.state['benchmarks'].items()
                         if 'error' in found or not found.get('same_result', True)]

    def _keep(self, part: str, name: str, found: dict[str, Any]) -> None:
        self.state[part][name] = found
        self.state['skipped'].pop(name, None)
        self._write()

    def _skip(self, name: str, reason: str) -> None:
        self.state['skipped'][name] = reason
        self._write()

    def _write(self) -> None:
        write_text_whole(self.file, json.dumps(self.state, indent=1) + '\n')


def page(state: Mapping[str, Any]) -> str:
    """The page about a device, as Markdown.

    Args:
        state: Of a `DeviceReport`.
    """
    about = state['about']
    versions = ', '.join(f'{name} {version}' for name, version in about['versions'].items())
    lines = [f'# {about["device"]}', '', f'Written by `python tools/gpu_check.py` on {about["device"]} '
             f'({about["type"]}, {about["threads"]} threads). {versions}'
             + (f', CUDA {about["cuda"]}' if about['type'] == 'cuda' else '') + '.', '']
    if about['type'] == 'cpu':
        lines += ['**No GPU was at hand: figures of GPUs are not measured yet.** The checks below compared the CPU '
                  'with itself, so that in float32 they say only that they run.', '']
    if about['quick']:
        lines += ['With tiny inputs: the times mean nothing.', '']
    lines += ['## Equality with the CPU', '', _checks(state['checks']), '', '## Speed and memory', '',
              _comparisons(state['benchmarks'])]
    for name, found in state['benchmarks'].items():
        if 'tables' in found:
            lines += ['', f'### {name}']
            for title, columns, rows in tables_of(found):
                lines += ['', f'{title}:', '', as_markdown(columns, rows)]
            lines += ['', *(f'{line}  ' for line in remarks_of(found))]
    if state['skipped']:
        lines += ['', '## Not measured', '', 'The command again continues with these.', '',
                  as_markdown(['what', 'why'], [list(item) for item in state['skipped'].items()])]
    return '\n'.join(lines) + '\n'


def _checks(checks: Mapping[str, Any]) -> str:
    rows = []
    for name, found in checks.items():
        if 'error' in found:
            rows.append([name, _one_line(found['error']), '', '', 'FAILED'])
        rows += [[name, quantity, f'{difference:.2g}', f'{bound:.2g}', 'yes' if passed else 'NO']
                 for quantity, difference, bound, passed in found.get('rows', ())]
    return as_markdown(['check', 'quantity', 'difference', 'bound', 'within'], rows) if rows else 'None was run.'


def _comparisons(benchmarks: Mapping[str, Any]) -> str:
    rows = []
    for name, found in benchmarks.items():
        if 'error' in found:
            rows.append([name, _one_line(found['error']), '', '', '', '', 'FAILED'])
        elif 'ours' in found:
            ours = found['ours']
            of_device = f'{ours["peak_device_mb"]:.0f}' if 'peak_device_mb' in ours else ''
            rows.append([name, ours['seconds'], found['baseline']['seconds'], f'{found["speedup"]:.2f} x',
                         f'{found["memory_ratio"]:.2f}', of_device, 'yes' if found['same_result'] else 'NO'])
    return as_markdown(['benchmark', 'ours, s', 'baseline, s', 'faster', 'memory of the host, ours / baseline',
                        'peak MB on the device', 'same result'], rows) if rows else 'No comparison was run.'


def _one_line(text: str) -> str:
    return ' '.join(text.replace('|', '/').split())[:200]

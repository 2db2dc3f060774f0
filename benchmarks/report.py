"""Results of benchmarks as text and as Markdown."""

from collections.abc import Sequence
from typing import Any


def as_text(result: dict[str, Any]) -> str:
    """What `benchmarks.runner.run_benchmark` returned, to print."""
    from prettytable import PrettyTable
    lines = []
    for title, columns, rows in tables_of(result):
        table = PrettyTable(columns, align='r')
        table.title = title
        table.add_rows([[_number(value) for value in row] for row in rows])
        lines.append(table.get_string())
    return '\n'.join(lines + remarks_of(result) + [_machine_line(result)])


def as_markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table of Markdown.

    >>> print(as_markdown(['', 'seconds'], [['ours', 0.12345]]))
    |  | seconds |
    |---|---|
    | ours | 0.1235 |
    """
    lines = [columns, ['---'] * len(columns)]
    texts = ['|' + '|'.join(line) + '|' if line[0] == '---' else f'| {" | ".join(line)} |' for line in lines]
    return '\n'.join(texts + [f'| {" | ".join(_number(value) for value in row)} |' for row in rows])


def tables_of(result: dict[str, Any]) -> list[tuple[str, list[str], list[list[Any]]]]:
    """Title, columns and rows of each table of a result."""
    if 'tables' in result:
        return [(table['title'], table['columns'], table['rows']) for table in result['tables']]
    ours, baseline = result['ours'], result['baseline']
    rows = [['seconds', ours['seconds'], baseline['seconds'], f'{result["speedup"]:.2f}x faster'],
            ['peak MB', f'{ours["peak_mb"]:.1f}', f'{baseline["peak_mb"]:.1f}',
             f'{result["memory_ratio"]:.2f}x the memory']]
    if 'peak_device_mb' in ours:
        share = ours['peak_device_mb'] / max(baseline['peak_device_mb'], 1e-3)
        rows.append(['peak MB of the device', f'{ours["peak_device_mb"]:.1f}', f'{baseline["peak_device_mb"]:.1f}',
                     f'{share:.2f}x the memory'])
    return [(result['name'], ['', 'ours', 'baseline', 'ratio'], rows)]


def remarks_of(result: dict[str, Any]) -> list[str]:
    """Whether the results agree, and the further lines of a result."""
    lines = list(result['details'])
    if 'same_result' in result:
        same = 'yes' if result['same_result'] else 'NO'
        lines.insert(0, f'same result: {same}' + f' ({result["compared"]})' * bool(result['compared']))
    return lines


def _machine_line(result: dict[str, Any]) -> str:
    machine, total = result['machine'], result['total']
    rounds = f'{result["rounds"]} rounds; ' if result.get('rounds', 0) > 1 else ''
    threads = f'{machine["threads"]} thread' + 's' * (machine['threads'] != 1)
    return (f'{result["size"]} size on {machine["device"]}, {threads}, torch {machine["torch"]}; '
            f'{rounds}{total["seconds"]:.0f} s in all, {total["processor_seconds"]:.0f} s of processor time')


def _number(value: Any) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)

"""Table 5 as Markdown and as a self-contained HTML page with pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from leopart_mm.apis.table5 import ROWS
from leopart_mm.apis.table5_run import RowResult
from leopart_mm.visualization import html

HEADER = ('row', 'mIoU (ours)', 'mIoU of occurring classes', 'paper', 'reproduction', 'seeds', 'minutes')


def table_cells(results: Mapping[str, RowResult], left_out: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The table's rows as text, in the paper's order."""
    cells = []
    for row in ROWS:
        published = f'{row.paper:.1f}', '-' if row.reproduction is None else f'{row.reproduction:.1f}'
        result = results.get(row.name)
        if result is None:
            cells.append((row.title, left_out.get(row.name, 'failed'), '', *published, '', ''))
        else:
            cells.append((row.title, f'{result.miou:.1f} ± {result.miou_std:.1f}', f'{result.miou_occurring:.1f}',
                          *published, str(len(result.per_seed)), f'{result.seconds / 60:.1f}'))
    return cells


def markdown(results: Mapping[str, RowResult], left_out: Mapping[str, str], about: Sequence[str]) -> str:
    """The table and what it was made from."""
    lines = ['# Table 5', '', *[f'- {line}' for line in about], '',
             f'| {" | ".join(HEADER)} |', f'|{"---|" * len(HEADER)}']
    lines += [f'| {" | ".join(cells)} |' for cells in table_cells(results, left_out)]
    lines += ['', 'Paper and reproduction: PVOC val, ViT-S/16. Mean ± population standard deviation over seeds; mIoU '
              'over all classes counts absent ones as 0 (published).', '']
    lines += [f'- {row.title}: {row.note}' for row in ROWS]
    return '\n'.join(lines) + '\n'


def html_page(results: Mapping[str, RowResult], left_out: Mapping[str, str], about: Sequence[str],
              pictures: Path) -> str:
    """The table, then for every row the images at each stage and the network of communities; no other file needed."""
    parts = [html.bullets(about), html.table(HEADER, table_cells(results, left_out))]
    for row in ROWS:
        if row.name not in results:
            continue
        result, folder = results[row.name], pictures / row.name / 'stages'
        per_seed = ', '.join(f'{value:.1f}' for value in result.per_seed)
        parts.append(html.heading(f'{row.title}: {result.miou:.1f}'))
        parts.append(html.paragraph(f'{row.note}. mIoU by seed: {per_seed}.'))
        parts += [html.image(folder / name, name) for name in ('sheet.png', 'community_network.png')
                  if (folder / name).is_file()]
        parts += [html.details(name, _lines(info)) for name, info in result.stages.items()]
    return html.page('Table 5', *parts)


def _lines(info: Mapping) -> str:
    return '\n'.join(f'{key}: {value}' for key, value in info.items())

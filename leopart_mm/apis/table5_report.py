"""Table 5 as Markdown and as a self-contained HTML page with pictures."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2

from leopart_mm.apis.table5 import ROWS, RowResult

HEADER = ('row', 'mIoU (ours)', 'mIoU of occurring classes', 'paper', 'reproduction', 'seeds', 'minutes')
STYLE = ('body{font-family:sans-serif;margin:2em;max-width:110em} table{border-collapse:collapse} '
         'td,th{border:1px solid #bbb;padding:.3em .7em;text-align:right} '
         'td:first-child,th:first-child{text-align:left} '
         'img{max-width:100%;display:block;margin:.4em 0}')


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
    parts = ['<!DOCTYPE html><html><head><meta charset="utf-8"><title>Table 5</title>',
             f'<style>{STYLE}</style></head><body><h1>Table 5</h1><ul>',
             *[f'<li>{html.escape(line)}</li>' for line in about], '</ul><table>',
             '<tr>' + ''.join(f'<th>{name}</th>' for name in HEADER) + '</tr>']
    parts += ['<tr>' + ''.join(f'<td>{html.escape(cell)}</td>' for cell in cells) + '</tr>'
              for cells in table_cells(results, left_out)]
    parts.append('</table>')
    for row in ROWS:
        if row.name not in results:
            continue
        result, folder = results[row.name], pictures / row.name / 'stages'
        parts.append(f'<h2>{html.escape(row.title)}: {result.miou:.1f}</h2><p>{html.escape(row.note)}.')
        parts.append(f' mIoU by seed: {", ".join(f"{value:.1f}" for value in result.per_seed)}.</p>')
        for name in ('sheet.png', 'community_network.png'):
            if (folder / name).is_file():
                parts.append(f'<img alt="{name}" src="data:image/jpeg;base64,{_jpeg(folder / name)}">')
        for name, info in result.stages.items():
            parts.append(f'<details><summary>{html.escape(name)}</summary><pre>{html.escape(_lines(info))}</pre>'
                         '</details>')
    return '\n'.join([*parts, '</body></html>']) + '\n'


def _jpeg(path: Path) -> str:
    """The picture as JPEG in base64: a tenth of the PNG's size."""
    return base64.b64encode(cv2.imencode('.jpg', cv2.imread(str(path)), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]).decode()


def _lines(info: Mapping) -> str:
    return '\n'.join(f'{key}: {value}' for key, value in info.items())

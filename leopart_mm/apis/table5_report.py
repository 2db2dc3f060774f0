"""Table 5 as Markdown and as a self-contained HTML page with pictures."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from leopart_mm.apis.table5 import ROWS
from leopart_mm.apis.table5_run import RowResult
from leopart_mm.visualization import html

HEADER = ('row', 'mIoU (ours)', 'mIoU of occurring classes', 'paper', 'reproduction', 'seeds', 'minutes')

CHAIN = ('dino', 'leopart', 'cbfe', 'cd')  # rows of which each adds a step to the one before
PAPER_TESTED, PAPER_FITTED = 1449, 10582  # Pascal VOC val and trainaug
SMALL = 1000  # images, below which the words about small data are said
SMALL_TITLE = 'What so few images mean'


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


def small_data_words(tested: int, fitted: int, results: Mapping[str, RowResult]) -> list[str]:
    """What the table means if its data are few; nothing for a data set of some thousand images.

    Args:
        tested: Number of images that are scored.
        fitted: Number of images that the stages are fitted on.
        results: Results by name.
    """
    if tested >= SMALL and fitted >= SMALL:
        return []
    words = [f'{tested} images are scored and {fitted} are fitted on; the paper scores {PAPER_TESTED} and fits on '
             f'{PAPER_FITTED}. So few images do not give the paper\'s figures, with these or any other weights: read '
             'the differences between rows, not the rows.']
    words += [_difference(first, second, results) for first, second in pairwise(CHAIN)
              if first in results and second in results]
    words.append('± is the deviation over seeds on the same images. Other images would change the numbers too, and '
                 f'with {tested} of them by more than most seeds do: a class that occurs in a few images only counts '
                 'as much as any other.')
    words.append('Fine-tuning on a few hundred images often brings nothing or harms: the network was pretrained on '
                 'far more. Training with a *_folder.py config ends with a verdict on this, which needs no labels; '
                 'more images, not more steps, are what helps.')
    return words


def _difference(first: str, second: str, results: Mapping[str, RowResult]) -> str:
    """One step of the chain in words, compared with the noise of its seeds."""
    before, after = results[first], results[second]
    titles = {row.name: row.title for row in ROWS}
    change = after.miou - before.miou
    noise = 2 * math.sqrt(sum(row.miou_std ** 2 / max(1, len(row.per_seed)) for row in (before, after)))
    text = f'{titles[second]} against {titles[first]}: {change:+.1f} mIoU'
    if abs(change) <= noise:
        return f'{text}, which is within what seeds do ({noise:.1f}): no difference can be told.'
    return f'{text}, more than what seeds do ({noise:.1f}): {"better" if change > 0 else "worse"} on these images.'


def markdown(results: Mapping[str, RowResult], left_out: Mapping[str, str], about: Sequence[str],
             small: Sequence[str] = ()) -> str:
    """The table and what it was made from; `small`: the words of `small_data_words`."""
    lines = ['# Table 5', '', *[f'- {line}' for line in about], '',
             f'| {" | ".join(HEADER)} |', f'|{"---|" * len(HEADER)}']
    lines += [f'| {" | ".join(cells)} |' for cells in table_cells(results, left_out)]
    lines += ['', 'Paper and reproduction: PVOC val, ViT-S/16. Mean ± population standard deviation over seeds; mIoU '
              'over all classes counts absent ones as 0 (published).', '']
    lines += [f'- {row.title}: {row.note}' for row in ROWS]
    if small:
        lines += ['', f'## {SMALL_TITLE}', '', *[f'- {line}' for line in small]]
    return '\n'.join(lines) + '\n'


def html_page(results: Mapping[str, RowResult], left_out: Mapping[str, str], about: Sequence[str],
              pictures: Path, small: Sequence[str] = ()) -> str:
    """The table, then for every row the images at each stage and the network of communities; no other file needed."""
    parts = [html.bullets(about), html.table(HEADER, table_cells(results, left_out))]
    if small:
        parts += [html.heading(SMALL_TITLE), html.bullets(small)]
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

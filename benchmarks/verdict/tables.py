"""The tables of docs/verdict.md, from the checkpoints of the study."""

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
from scipy.stats import rankdata

from leopart_mm.evaluation.feature_numbers import VERDICT_NUMBERS
from leopart_mm.evaluation.verdict import BETTER, LIMITS, UNCLEAR, WORSE
from leopart_mm.evaluation.verdict_study import OUTCOMES, StudiedCheckpoint, counts, evidence_of, judge

NEAR = 6.  # mIoU
ORDER = {WORSE: (WORSE, UNCLEAR, BETTER), BETTER: (BETTER, UNCLEAR, WORSE), UNCLEAR: (WORSE, UNCLEAR, BETTER)}
WORDS = {WORSE: 'fell', UNCLEAR: 'same', BETTER: 'rose'}
Study = Sequence[StudiedCheckpoint]


def correlations(study: Study) -> str:
    """Correlation of all numbers with mIoU: for the checkpoints that the choice saw, and for those made later."""
    seen, later = chosen_on(study), [one for one in study if not one.chosen_on]
    near = [one for one in seen if abs(one.miou - first_of(seen, one.data).miou) <= NEAR]
    pooled = f'pooled ({len(seen)})'
    columns = {f'{data} ({len(part)})': part for data in data_sets(seen) if (part := of_data(seen, data))}
    columns |= {pooled: seen, f'near the start ({len(near)})': near, f'made later ({len(later)})': later}
    names = [name for name in study[0].numbers if all(name in one.numbers for one in study)]
    cells = {name: {head: spearman(part, name) for head, part in columns.items()} for name in names}
    return table(['number', *columns], [[name, *map(signed, cells[name].values())]
                                        for name in sorted(names, key=lambda name: -abs(cells[name][pooled]))])


def verdicts(study: Study) -> str:
    """How often the verdict says what mIoU says: for the fine-tunings that the choice saw, and for those made later."""
    rows = []
    for said in OUTCOMES:
        cells = []
        for seen in (True, False):
            found = counts([one for one in judge(study) if one.after.chosen_on == seen])
            cells += [str(found[said, true]) for true in OUTCOMES]
        rows.append([said, *cells])
    heads = [f'{when}: mIoU {WORDS[true]}' for when in ('seen', 'later') for true in OUTCOMES]
    return table(['verdict', *heads], rows)


def left_out(study: Study) -> str:
    """The choice made on all data sets but one, and what its verdicts are worth on that one.

    Chosen are the two numbers and the limit of `colour_dependence`.
    """
    seen, rows = chosen_on(study), []
    noisy = [name for name in seen[0].per_image if name not in LIMITS]
    for data in data_sets(seen):
        part, others = of_data(seen, data), [one for one in seen if one.data != data]
        names, limits = choose(others, noisy), {name: largest_harmless_rise(others, name) for name in LIMITS}
        found = counts(judge(part, [*names, *limits], limits))
        rows.append([data, ', '.join([f'{name} ({signed(spearman(part, name))})' for name in names] +
                                     [f'{name} by at most {value:.3f}' for name, value in limits.items()]),
                     *(' / '.join(str(found[said, true]) for true in ORDER[said]) for said in ORDER)])
    heads = [f'called {said}: mIoU {" / ".join(WORDS[true] for true in ORDER[said])}' for said in ORDER]
    return table(['left out', 'chosen on the other two (correlation on the one left out)', *heads], rows)


def known_case(study: Study) -> str:
    """The run that made features worse while their consistency rose, and one that made them better."""
    rows = []
    for one in sorted(judge(study), key=lambda one: one.after.step):
        if one.after.name not in ('known_case', 'longer'):
            continue
        cells = [f'{one.start.numbers[name]:.3f} → {one.after.numbers[name]:.3f}' for name in VERDICT_NUMBERS]
        miou = (f'{part.miou:.1f} ± {part.miou_std:.1f}' for part in (one.start, one.after))
        rows.append([one.after.data, one.after.label, ' → '.join(miou), *cells, one.verdict])
    return table(['data', 'checkpoint', 'mIoU', *VERDICT_NUMBERS, 'verdict'], rows)


def fine_tunings(study: Study) -> str:
    """Every fine-tuning, what mIoU says of it and what the verdict says."""
    return table(['data', 'checkpoint', 'mIoU before', 'mIoU after', 'by mIoU', 'verdict', 'choice saw it'], [
        [one.after.data, one.after.label, f'{one.start.miou:.1f}', f'{one.after.miou:.1f}', one.by_miou, one.verdict,
         'yes' if one.after.chosen_on else 'no'] for one in judge(study)])


def evidence(study: Study) -> str:
    """The sentence that accompanies each verdict, as a quotation."""
    return '\n'.join(wrap(evidence_of(judge(study)), 118, initial_indent='> ', subsequent_indent='> ')) + '\n'


def differences(ours: Study, theirs: Study, names: Sequence[str] = VERDICT_NUMBERS) -> str:
    """The checkpoints of both studies: mIoU and the verdict's numbers of the one and of the other."""
    known = {one.key: one for one in theirs}
    return table(['data', 'checkpoint', 'mIoU', *names], [
        [one.data, one.label, f'{known[one.key].miou:.2f} → {one.miou:.2f}',
         *(f'{known[one.key].numbers[name]:.4f} → {one.numbers[name]:.4f}' for name in names)]
        for one in ours if one.key in known])


def largest_harmless_rise(study: Study, name: str) -> float:
    """The largest rise of a number among the fine-tunings that mIoU does not call worse."""
    return max(one.after.numbers[name] - one.start.numbers[name] for one in judge(study) if one.by_miou != WORSE)


def choose(study: Study, names: Sequence[str], number: int = 2) -> list[str]:
    """The numbers of the largest correlation with mIoU, of either sign; ties by name."""
    return sorted(sorted(names), key=lambda name: -abs(spearman(study, name)))[:number]


def spearman(study: Study, name: str) -> float:
    """Correlation of ranks, taken within each data set: each contributes its deviations from its mean rank.

    Data sets with fewer than three checkpoints are left out; without any other, it is not a number.
    """
    ours, theirs = [], []
    for data in data_sets(study):
        part = of_data(study, data)
        if len(part) < 3:
            continue
        for ranks, values in ((ours, [one.numbers[name] for one in part]), (theirs, [one.miou for one in part])):
            found = rankdata(values)
            ranks.append((found - found.mean()) / len(part))
    a, b = np.concatenate(ours or [[0.]]), np.concatenate(theirs or [[0.]])
    length = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / length) if length else float('nan')


def chosen_on(study: Study) -> list[StudiedCheckpoint]:
    """Those that the choice of the verdict's numbers saw."""
    return [one for one in study if one.chosen_on]


def of_data(study: Study, data: str) -> list[StudiedCheckpoint]:
    """Those of a data set."""
    return [one for one in study if one.data == data]


def first_of(study: Study, data: str) -> StudiedCheckpoint:
    """The first checkpoint of a data set: its start."""
    return of_data(study, data)[0]


def data_sets(study: Study) -> list[str]:
    """Their names, in order."""
    return list(dict.fromkeys(one.data for one in study))


def signed(value: float) -> str:
    """A correlation; '-' where there is none."""
    return f'{value:+.2f}' if np.isfinite(value) else '-'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [f'| {" | ".join(head)} |', '|' + '---|' * len(head), *(f'| {" | ".join(row)} |' for row in rows)]
    return '\n'.join(lines) + '\n'

"""The study behind the verdict: checkpoints of labelled data sets, with their mIoU and their numbers without labels.

verdict_study.json holds its figures. docs/verdict.md and the sentence that accompanies each verdict are made from them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from leopart_mm.evaluation.feature_numbers import VERDICT_NUMBERS
from leopart_mm.evaluation.verdict import BETTER, LIMITS, UNCLEAR, WORSE, compare

STUDY = Path(__file__).with_name('verdict_study.json')
OUTCOMES = (BETTER, UNCLEAR, WORSE)


@dataclass(frozen=True)
class StudiedCheckpoint:
    """A checkpoint of the study.

    Args:
        data: Name of the labelled data set.
        name: Name of the run.
        step: Steps trained.
        start: Name of the checkpoint that training began from; '': this is one.
        chosen_on: Whether the numbers of the verdict were chosen with this checkpoint at hand.
        miou: Of overclustering, in percent, mean over seeds.
        miou_std: Its deviation over the seeds.
        seeds: Number of seeds.
        numbers: Number without labels -> value.
        per_image: The same for those that have a value per image.
    """

    data: str
    name: str
    step: int
    start: str
    chosen_on: bool
    miou: float
    miou_std: float
    seeds: int
    numbers: Mapping[str, float]
    per_image: Mapping[str, Sequence[float]]

    @property
    def key(self) -> tuple[str, str, int]:
        """What identifies it."""
        return self.data, self.name, self.step

    @property
    def label(self) -> str:
        """A name for tables."""
        return f'{self.name} step {self.step}' if self.step else self.name


@dataclass(frozen=True)
class Judgement:
    """What mIoU and the verdict say about a fine-tuning: 'better', 'worse' or 'no clear change' each."""

    start: StudiedCheckpoint
    after: StudiedCheckpoint
    by_miou: str
    verdict: str


def read_study(file: Path = STUDY) -> list[StudiedCheckpoint]:
    """The checkpoints of a file of the study."""
    return [StudiedCheckpoint(**row) for row in json.loads(file.read_text(encoding='utf-8'))]


def judge(study: Sequence[StudiedCheckpoint], names: Sequence[str] = VERDICT_NUMBERS,
          limits: Mapping[str, float] = LIMITS) -> list[Judgement]:
    """Every fine-tuning of a study against its start, by mIoU and by the verdict on the numbers of `names`.

    By mIoU a checkpoint is better or worse if it differs from its start by more than two standard errors of the seeds.

    Raises:
        ValueError: If the start of a checkpoint is not in the study.
    """
    starts, found = {(one.data, one.name): one for one in study if not one.start}, []
    for one in study:
        if not one.start:
            continue
        start = starts.get((one.data, one.start))
        if start is None:
            raise ValueError(f'The study lacks the checkpoint {one.start!r} of {one.data}, from which '
                             f'{one.label!r} began.')
        change = one.miou - start.miou
        noise = 2 * np.hypot(one.miou_std / np.sqrt(one.seeds), start.miou_std / np.sqrt(start.seeds))
        by_miou = UNCLEAR if abs(change) <= noise else BETTER if change > 0 else WORSE
        verdict = compare(*({name: part.per_image[name] for name in names} for part in (start, one)), limits)
        found.append(Judgement(start, one, by_miou, verdict['outcome']))
    return found


def counts(judgements: Sequence[Judgement]) -> dict[tuple[str, str], int]:
    """(verdict, by mIoU) -> number of fine-tunings."""
    return {(said, true): sum((one.verdict, one.by_miou) == (said, true) for one in judgements)
            for said in OUTCOMES for true in OUTCOMES}


@cache
def evidence() -> str:
    """How often the verdict agreed with mIoU where there are labels, in a sentence."""
    return evidence_of(judge(read_study()))


def evidence_of(judgements: Sequence[Judgement]) -> str:
    """The sentence about some fine-tunings.

    Those that the verdict's numbers were chosen on count apart from those made later, which alone can show what the
    choice is worth.
    """
    seen, later = ([one for one in judgements if one.after.chosen_on == chosen] for chosen in (True, False))
    return (f'How far to trust it (docs/verdict.md): among {len(seen)} fine-tunings on labelled data, on which the '
            f'numbers were chosen, mIoU agreed with {_agreement(seen)}; among {len(later)} made later, with '
            f'{_agreement(later)}.')


def _agreement(judgements: Sequence[Judgement]) -> str:
    table = counts(judgements)
    parts = [f'{table[said, said]} of {sum(table[said, true] for true in OUTCOMES)} called {said}'
             for said in (WORSE, BETTER)]
    return f'{" and ".join(parts)}, and said the opposite of {table[WORSE, BETTER] + table[BETTER, WORSE]}'

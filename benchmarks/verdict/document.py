"""Makes the tables of docs/verdict.md from the figures of the study.

    python -m benchmarks.verdict.document                       # brings the document up to date
    python -m benchmarks.verdict.document --study FILE          # prints the tables of another run of the study instead,
                                                                # and how its figures differ from the shipped ones
"""

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.verdict import tables
from leopart_mm.evaluation.verdict_study import read_study
from leopart_mm.files import write_text_whole

DOCUMENT = Path(__file__).resolve().parents[2] / 'docs/verdict.md'
BLOCKS: Mapping[str, Callable[[tables.Study], str]] = dict(
    evidence=tables.evidence, verdicts=tables.verdicts, known_case=tables.known_case, left_out=tables.left_out,
    correlations=tables.correlations, fine_tunings=tables.fine_tunings)
PLACE = re.compile(r'(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)', re.DOTALL)


def filled(text: str, study: tables.Study) -> str:
    """The document with each block, between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``, made anew.

    Raises:
        ValueError: If a block is missing in the document, or unknown.
    """
    places = [match[1] for match in PLACE.findall(text)]
    if sorted(places) != sorted(BLOCKS):
        raise ValueError(f'docs/verdict.md has the blocks {places}; it must have each of {list(BLOCKS)} once.')
    return PLACE.sub(lambda match: f'{match[1]}{BLOCKS[match[2]](study)}{match[3]}', text)


def main() -> None:
    """Write or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--study', type=Path, help='a study.json whose tables are printed')
    args = parser.parse_args()
    if args.study is None:
        write_text_whole(DOCUMENT, filled(DOCUMENT.read_text(encoding='utf-8'), read_study()))
        return
    study = read_study(args.study)
    for name, block in {**BLOCKS, 'shipped → this run': lambda ours: tables.differences(ours, read_study())}.items():
        print(f'## {name}\n\n{block(study)}')


if __name__ == '__main__':
    main()

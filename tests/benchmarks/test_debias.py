"""The table of the debias on small data, and what is measured."""

import doctest

from benchmarks import debias, vit_tiny_scores
from leopart_mm.registry import MODELS


def test_cells():
    assert doctest.testmod(vit_tiny_scores).failed == 0


def test_what_is_measured_exists():
    assert all((vit_tiny_scores.CONFIGS / file).is_file() for file in vit_tiny_scores.GROUPS.values())
    for name, config in debias.DEBIAS.items():
        assert config is None or MODELS.build(config).rank == int(name.split()[-1])


def test_table_of_debias_compares_with_none_seed_by_seed():
    rows = [dict(data='voc', group='K = 21', debias='none', miou=[10., 20.]),
            dict(data='voc', group='K = 21', debias='black image, rank 2', miou=[12.0, 22.1]),
            dict(data='voc', group='K = 100', debias='black image, rank 2', miou=[30., 30.])]
    lines = debias.table(rows).splitlines()
    assert lines[0] == 'VOC subset:'
    assert '| none | 15.0±5.0 |  |  |  |' in lines
    assert '| black image, rank 2 | **17.1±5.1 (+2.1)** | 30.0±0.0 |  |  |' in lines

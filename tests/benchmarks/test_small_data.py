"""Tables of the measurements on small data, and what they measure with."""

import doctest

from benchmarks import debias, methods, vit_tiny_scores
from benchmarks.verdict.checkpoints import DATA, METHODS
from leopart_mm.registry import MODELS


def test_cells():
    assert doctest.testmod(vit_tiny_scores).failed == 0


def test_what_is_measured_exists():
    assert all((vit_tiny_scores.CONFIGS / file).is_file() for file in vit_tiny_scores.GROUPS.values())
    assert set(methods.GROUPS) <= set(vit_tiny_scores.GROUPS)
    assert set(methods.NAMES) == set(METHODS) == set(DATA['msrc21'].train)
    assert all(path.is_file() for path in DATA['msrc21'].train.values())
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


def test_table_of_methods_compares_with_the_start():
    rows = [dict(method='start', seed=0, group='K = 100', value=60.),
            *(dict(method='paka', seed=seed, group='K = 100', value=62. + seed / 10) for seed in range(3))]
    head, _, *lines = methods.table(rows).splitlines()
    assert head == '| weights | K = 100 | retrieval |'
    assert lines == ['| start | 60.0 |  |', '| Leopart |  |  |', '| NeCo |  |  |', '| PaKA | **62.1±0.1 (+2.1)** |  |']

"""`iterations=N` and `epochs=N` stretch a training with all its schedules."""

import pytest

from leopart_mm.engine.config import load_config
from tests.paths import REPO

CONFIGS = sorted(path for folder in ('leopart', 'neco', 'paka', 'msrc21', 'sample')
                 for path in (REPO / 'configs' / folder).rglob('*.py')
                 if '_base_' not in path.parts and path.name.startswith(('leopart_', 'neco_', 'paka_')))
CONFIGS += sorted((REPO / 'configs/leopart/decoders').glob('*.py'))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.relative_to(REPO / 'configs').as_posix())
def test_schedules_follow(path):
    config = load_config(path)
    name, key = ('epochs', 'max_epochs') if 'max_epochs' in config.train_cfg else ('iterations', 'max_iters')
    total = config.train_cfg[key]
    assert config[name] == total
    longer = load_config(path, {name: 3 * total})
    assert longer.train_cfg[key] == 3 * total
    for schedule, stretched in zip(config.param_scheduler, longer.param_scheduler, strict=True):
        for end in ('T_max', 'end'):
            if schedule.get(end) == total:
                assert stretched[end] == 3 * total
    assert max(schedule.end for schedule in longer.param_scheduler) == 3 * total

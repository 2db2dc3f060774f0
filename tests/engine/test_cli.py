"""What tools/train.py and tools/test.py make of their arguments."""

import argparse

import pytest

from leopart_mm.cli.arguments import add_common_arguments
from leopart_mm.engine.cli import config_from_args

CONFIG = """
data_root = 'data/x'
iterations = 5
train_cfg = dict(max_iters=iterations)
train_dataloader = dict(num_workers=2, dataset=dict(data_root=data_root))
"""


@pytest.fixture
def parse(tmp_path):
    (tmp_path / 'configs/mine/linear').mkdir(parents=True)
    (tmp_path / 'configs/mine/linear/c.py').write_text(CONFIG)
    parser = argparse.ArgumentParser(prog='tool')
    parser.add_argument('config')
    add_common_arguments(parser)
    return lambda *words: parser.parse_args([str(tmp_path / 'configs/mine/linear/c.py'), *words])


def test_options_reach_the_config(parse):
    cfg = config_from_args(parse('--cfg-options', 'data_root=My Pictures, 2024', 'iterations=3', '--no-pin-memory'))
    assert cfg.train_dataloader.dataset.data_root == 'My Pictures, 2024'
    assert cfg.train_cfg.max_iters == 3
    assert cfg.train_dataloader.pin_memory is False
    assert cfg.work_dir == 'work_dirs/mine_linear_c'


def test_last_value_wins(parse):
    cfg = config_from_args(parse('--cfg-options', 'data_root=a', 'data_root=b=c', '--work-dir', 'w'))
    assert (cfg.data_root, cfg.work_dir) == ('b=c', 'w')


def test_mistakes_end_in_one_line(parse, capsys):
    with pytest.raises(ValueError, match=r"has no 'iteratons', .* Did you mean 'iterations'"):
        config_from_args(parse('--cfg-options', 'iteratons=2'))
    with pytest.raises(SystemExit):
        parse('--cfg-options', 'data_root=My', 'Pictures')
    assert "'Pictures' is not KEY=VALUE" in capsys.readouterr().err

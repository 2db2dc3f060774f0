"""docs/tutorial.ipynb: its cells run on the generated scenes, one after the other, and leave what they promise."""

import json
import re
import shlex

import numpy as np
import pytest

from leopart_mm.evaluation.label_writer import read_labels
from tests.paths import REPO
from tests.tools.running import run_tool

NOTEBOOK = json.loads((REPO / 'docs/tutorial.ipynb').read_text())
CELLS = [''.join(cell['source']) for cell in NOTEBOOK['cells'] if cell['cell_type'] == 'code']


def smaller(cell):
    """The cell with fewer and smaller images and fewer steps, so that the test takes seconds."""
    for old, new in (('num_images=40, size=128', 'num_images=20, size=64'), ('STEPS = 128, 40', 'STEPS = 64, 2'),
                     ('CLUSTERS = 12', 'CLUSTERS = 6'),
                     ("'log_processor.window_size=5'", "'train_dataloader.num_workers=0 "
                      "train_dataloader.persistent_workers=False train_dataloader.batch_size=4'"),
                     ('image_size={SIDE},{SIDE}', 'image_size={SIDE},{SIDE} test_dataloader.num_workers=0 '
                      'test_cfg.fit_dataloader.num_workers=0')):
        cell = cell.replace(old, new)
    return cell


@pytest.mark.slow
def test_the_cells_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names, printed = {}, []

    def shell(cell):
        """What IPython does with `!leopart_mm TOOL ...`, in this process."""
        line = re.sub(r'\{(\w+)}', lambda found: str(names[found[1]]), cell.replace('\\\n', ' '))
        command = shlex.split(line)
        assert command[0] == 'leopart_mm', line
        status, out, error = run_tool(monkeypatch, capsys, f'{command[1]}.py', *command[2:])
        assert status == 0, f'{line}\n{error}'
        printed.append(out)

    changed = [smaller(cell) for cell in CELLS]
    assert changed[0] != CELLS[0]
    for number, cell in enumerate(changed):
        if cell.startswith('!'):
            shell(cell.removeprefix('!'))
        else:
            exec(compile(cell, f'docs/tutorial.ipynb, cell {number}', 'exec'), names)
            printed.append(capsys.readouterr().out)
    segments = tmp_path / names['WORK'] / 'segments'
    labels = [read_labels(path) for path in sorted((segments / 'labels').glob('*.png'))]
    assert [found.shape for found in labels] == [(64, 64)] * 20
    assert len(np.unique(labels)) > 2
    content = json.loads((segments / 'exports/coco.json').read_text())
    assert {'background', 'my first part'} <= {category['name'] for category in content['categories']}
    number = next(entry['id'] for entry in content['categories'] if entry['name'] == 'my first part')
    count = sum(entry['category_id'] == number for entry in content['annotations'])
    assert count > 0
    assert f'my first part {count} segments' in printed[-1]
    legend = names['Image'].open(segments / 'legend.png').convert('RGB')
    assert (255, 136, 0) in {colour for _, colour in legend.getcolors(1 << 20)}


def test_it_is_a_notebook_without_outputs():
    assert (NOTEBOOK['nbformat'], NOTEBOOK['nbformat_minor']) == (4, 5)
    identifiers = [cell['id'] for cell in NOTEBOOK['cells']]
    assert len(set(identifiers)) == len(identifiers)
    for cell in NOTEBOOK['cells']:
        assert cell['cell_type'] == 'markdown' or (cell['outputs'], cell['execution_count']) == ([], None)

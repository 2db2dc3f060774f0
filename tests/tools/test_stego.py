"""STEGO's own evaluation as a user runs it: tools/test.py with a file of a run, then the fitted model on new images."""

import re

import pytest
import torch

from leopart_mm.datasets.sample import write_sample
from tests.apis.builders import write_images
from tests.checkpoints.code_layouts import CLASSES, EXTRA, stego
from tests.paths import REPO
from tests.tools.running import run_tool

CONFIG = """
_base_ = ['{base}/models/overcluster.py', '{base}/datasets/voc_overcluster.py', '{base}/evaluation_runtime.py']
arch = 'vit_tiny_patch16_224'
checkpoint = '{checkpoint}'
model = dict(
    backbone=dict(arch=arch, model_kwargs=dict(img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2)),
    neck=dict(type='leopart_mm.CodeHead', checkpoint=checkpoint),
    decode_head=dict(_delete_=True, type='leopart_mm.ProbeHead', checkpoint=checkpoint, num_clusters={labels}),
    postprocessors=dict(crf=dict(type='leopart_mm.DenseCRF', iterations=2)))
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='Resize', scale=(32, 32)),
            dict(type='PackSegInputs')]
test_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False,
                       dataset=dict(data_root='{data}', pipeline=pipeline))
test_evaluator = dict(eval_size=None)
"""


@pytest.fixture
def run(monkeypatch, capsys):
    return lambda tool, *arguments: run_tool(monkeypatch, capsys, tool, *arguments)


def test_a_file_of_stego_is_scored_and_segments_new_images(tmp_path, run):
    write_sample(tmp_path / 'data', 4, 32, seed=0)
    torch.save(stego(), tmp_path / 'stego.ckpt')
    config = tmp_path / 'stego.py'
    config.write_text(CONFIG.format(base=REPO / 'configs/_base_', checkpoint=tmp_path / 'stego.ckpt',
                                    data=tmp_path / 'data', labels=CLASSES + EXTRA))
    fitted = tmp_path / 'fitted.pth'
    status, out, error = run('test.py', config, tmp_path / 'stego.ckpt', '--work-dir', tmp_path / 'run',
                             '--save-fitted', fitted)
    assert status == 0, error
    assert re.search(r'mIoU: \d+\.\d', out), out
    assert 'do not match' not in out
    (tmp_path / 'stego.ckpt').unlink()  # the fitted model needs it no more
    write_images(tmp_path / 'in', ['a.png', 'b.png'])
    status, out, error = run('segment_folder.py', tmp_path / 'in', '--checkpoint', fitted, '--out', tmp_path / 'out')
    assert status == 0, error
    assert '2 images segmented' in out

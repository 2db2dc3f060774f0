"""tools/export_segments.py, extract_features.py and export.py as a user runs them."""

import json

import pytest
import torch
from pycocotools.coco import COCO

from tests.apis.builders import fitted_checkpoint, write_images
from tests.exports.builders import segmented
from tests.tools.running import run_tool


def test_segments_to_other_programs(tmp_path, monkeypatch, capsys):
    out = segmented(tmp_path)
    status, said, error = run_tool(monkeypatch, capsys, 'export_segments.py', out, '--to', 'coco', 'cvat',
                                   '--min-area', 4)
    assert status == 0, error
    assert '2 images, 5 categories.' in said
    assert f'coco: {out}/exports/coco.json' in said
    assert {entry['area'] for entry in COCO(str(out / 'exports' / 'coco.json')).dataset['annotations']} == {4, 8}
    status, said, error = run_tool(monkeypatch, capsys, 'export_segments.py', tmp_path / 'in', '--to', 'coco')
    assert status == 1
    assert 'holds no label maps of tools/segment_folder.py (labels/.model.json is missing)' in error
    assert error.count('\n') == 1
    pytest.importorskip('rasterio')
    status, said, error = run_tool(monkeypatch, capsys, 'export_segments.py', out, '--to', 'geotiff')
    assert status == 1
    assert 'None of the 2 images is georeferenced' in error


def test_features_then_again(tmp_path, monkeypatch, capsys):
    write_images(tmp_path / 'in', ['a/1.png', 'b/1.png'])
    fitted = fitted_checkpoint(tmp_path / 'fitted.pth')
    arguments = tmp_path / 'in', '--backbone', fitted, '--out', tmp_path / 'out', '--side', 64, '--format', 'npz'
    status, said, error = run_tool(monkeypatch, capsys, 'extract_features.py', *arguments)
    assert status == 0, error
    assert 'Features of 2 images, 0 existed already.' in said
    status, said, error = run_tool(monkeypatch, capsys, 'extract_features.py', *arguments)
    assert status == 0, error
    assert 'Features of 0 images, 2 existed already.' in said
    assert json.loads((tmp_path / 'out' / 'features.json').read_text())['images']['a/1']['grid'] == [5, 8]
    torch.save({'x': torch.ones(1)}, tmp_path / 'odd.pth')
    status, said, error = run_tool(monkeypatch, capsys, 'extract_features.py', tmp_path / 'in', '--backbone',
                                   tmp_path / 'odd.pth', '--out', tmp_path / 'other')
    assert status == 1
    assert 'The architecture of' in error
    assert not (tmp_path / 'other').exists()


def test_a_network_as_a_file_of_torch(tmp_path, monkeypatch, capsys):
    fitted = fitted_checkpoint(tmp_path / 'fitted.pth')
    status, said, error = run_tool(monkeypatch, capsys, 'export.py', fitted, '--out', tmp_path / 'm.pt2', '--size', 32,
                                   40, '--backbone-only')
    assert status == 0, error
    assert '"image" is (batch, 3, 32, 40) float32 RGB, 0..255, of any batch.' in said
    assert '"features" (batch, 32, 4, 5): largest difference ' in said
    assert torch.export.load(tmp_path / 'm.pt2').module()(torch.rand(2, 3, 32, 40))[0].shape == (2, 32, 4, 5)

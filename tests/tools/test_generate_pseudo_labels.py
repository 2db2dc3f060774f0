"""tools/generate_pseudo_labels.py as a user runs it."""

import cv2
import numpy as np

from tests.apis.test_pseudo_labels import TWO, write_results
from tests.tools.running import run_tool


def test_maps_their_score_and_a_fault(tmp_path, monkeypatch, capsys):
    results, images = write_results(tmp_path, TWO)
    (tmp_path / 'gt').mkdir()
    cv2.imwrite(str(tmp_path / 'gt' / 'a.png'), np.zeros((6, 8), np.uint8))
    arguments = results, '--images', images, '--out', tmp_path / 'out'
    status, out, error = run_tool(monkeypatch, capsys, 'generate_pseudo_labels.py', *arguments, '--gt-labels',
                                  tmp_path / 'gt', '--matching', 'direct')
    assert status == 0, error
    assert '2 label maps made; 3 of 3 predictions selected; 1 images have none above the threshold' in out
    assert 'mIoU 11.81 % over 3 classes, 35.42 % of the pixels right (no matching; 1 maps' in out
    status, out, error = run_tool(monkeypatch, capsys, 'generate_pseudo_labels.py', *arguments, '--overlap', 'skip')
    assert status == 1
    assert 'Take another output folder, or overwrite these (--overwrite).' in error.splitlines()[-1]

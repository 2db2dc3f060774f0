"""tools/label_images.py as a user runs it."""

import cv2
import numpy as np

from tests.apis.builders import trained_checkpoint, write_images
from tests.tools.running import run_tool


def test_labels_of_a_list_their_score_and_faults(tmp_path, monkeypatch, capsys):
    write_images(tmp_path / 'in', ['a.png', 'b.png'], size=(20, 30))
    (tmp_path / 'list.txt').write_text('b\n')
    _, cfg = trained_checkpoint(tmp_path / 'trained.pth')
    cfg.dump(tmp_path / 'config.py')
    (tmp_path / 'gt').mkdir()
    cv2.imwrite(str(tmp_path / 'gt' / 'b.png'), np.zeros((20, 30), np.uint8))

    def label(*arguments):
        return run_tool(monkeypatch, capsys, 'label_images.py', tmp_path / 'trained.pth', '--config',
                        tmp_path / 'config.py', '--images', tmp_path / 'in', '--out', tmp_path / 'out', *arguments)

    status, out, error = label('--list', tmp_path / 'list.txt', '--gt-labels', tmp_path / 'gt', '--workers', 0)
    assert status == 0, error
    assert '1 images segmented.' in out
    assert 'over 5 classes' in out
    assert '(no matching; 1 maps at their own size, label 255 ignored)' in out
    assert sorted(path.name for path in (tmp_path / 'out' / 'labels').glob('*.png')) == ['b.png']
    status, out, error = label('--no-crf')
    assert status == 1
    assert 'labels of another network, or made with another CRF' in error
    (tmp_path / 'list.txt').write_text('b\nc\n')
    status, out, error = label('--list', tmp_path / 'list.txt')
    assert status == 1
    assert '1 of the 2 images of' in error
    assert '(c)' in error

"""tools/segment_folder.py as a user runs it."""

import torch

from tests.apis.builders import fitted_checkpoint, write_images
from tests.tools.running import run_tool


def test_a_folder_twice_then_names_then_faults(tmp_path, monkeypatch, capsys):

    def segment(*arguments):
        return run_tool(monkeypatch, capsys, 'segment_folder.py', *arguments)

    write_images(tmp_path / 'in', ['a/1.png', 'b/1.png'])
    (tmp_path / 'in' / 'notes.txt').write_text('')
    fitted = fitted_checkpoint(tmp_path / 'fitted.pth')
    arguments = tmp_path / 'in', '--checkpoint', fitted, '--out', tmp_path / 'out', '--overlay', '--sheet'
    status, out, error = segment(*arguments)
    assert status == 0, error
    assert '2 images segmented, 1 other files skipped.' in out
    status, out, error = segment(*arguments)
    assert status == 0, error
    assert '2 label maps existed already' in out
    (tmp_path / 'out' / 'names.yaml').write_text('clusters: ["<sky>", "<sky>", "<sky>", "<sky>"]')
    status, out, error = segment(*arguments)
    assert status == 0, error
    assert '"name":"\\u003csky\\u003e"' in (tmp_path / 'out' / 'clusters.html').read_text()
    status, out, error = segment(*arguments, '--tile-size', 16)
    assert status == 1
    assert error.splitlines()[-1].endswith('or overwrite these (--overwrite).')
    status, out, error = segment(tmp_path / 'nowhere', *arguments[1:])
    assert status == 1
    assert 'There is no image or folder' in error.splitlines()[-1]
    state = {'backbone.x': torch.ones(1), 'teacher.backbone.x': torch.ones(1)}
    torch.save(dict(state_dict=state), tmp_path / 'iter_4.pth')
    status, out, error = segment(tmp_path / 'in', '--checkpoint', tmp_path / 'iter_4.pth', '--out', tmp_path / 'other')
    assert status == 1
    assert 'Fit it first: python tools/test.py CONFIG ' in error
    assert error.count('\n') == 1

"""tools/generate_masks.py as a user runs it, on images as people have them."""

import cv2
import numpy as np
import torch

from tests.apis.builders import write_images
from tests.apis.proposal_sources import network_of, proposal_config
from tests.tools.running import run_tool

TEXT = '''
_base_ = 'base.py'
custom_imports = dict(imports=['leopart_mm'], allow_failed_imports=False)
proposals = dict(type='leopart_mm.PrincipalProposals', threshold=0.4)
'''


def test_a_folder_twice_then_other_settings_and_faults(tmp_path, monkeypatch, capsys):
    images = tmp_path / 'in'
    write_images(images, ['a/1.png', '2.png'], size=(40, 56))
    cv2.imwrite(str(images / 'constant.png'), np.full((30, 30, 3), 128, np.uint8))
    cv2.imwrite(str(images / 'tiny.png'), np.arange(27, dtype=np.uint8).reshape(3, 3, 3) * 9)
    (images / 'cut.jpg').write_bytes(b'\xff\xd8\xff\xe0')
    config = proposal_config(images)
    config.dump(str(tmp_path / 'base.py'))
    (tmp_path / 'mine.py').write_text(TEXT)
    torch.save(network_of(config).backbone.state_dict(), tmp_path / 'vit.pth')

    def generate(*arguments, out='out', checkpoint='vit.pth'):
        return run_tool(monkeypatch, capsys, 'generate_masks.py', tmp_path / 'mine.py', tmp_path / checkpoint, '--out',
                        tmp_path / out, '--workers', 0, *arguments)

    def made():
        return {path.relative_to(tmp_path / 'out'): path.read_bytes() for path in (tmp_path / 'out').rglob('*.png')}

    status, out, error = generate('--images', images, '--show-dir', tmp_path / 'show')
    assert status == 0, error
    assert '4 images done; ' in out
    assert '1 images could not be read: ' in out
    assert 'cut.jpg (' in out
    assert len(list((tmp_path / 'show').rglob('*.jpg'))) == 4
    files = made()
    labels = [cv2.imread(str(tmp_path / 'out' / name), cv2.IMREAD_UNCHANGED) for name in files]
    assert all(label.shape == (24, 24) and set(np.unique(label)) <= {1, 2, 3, 4, 5, 6, 7, 8, 255} for label in labels)
    status, out, error = generate('--batch-size', 3)  # the config's own images: the same
    assert status == 0, error
    assert '0 images done, 4 were there already; ' in out
    status, out, error = generate('--cfg-options', 'proposals.threshold=0.6')
    assert status == 1
    assert 'source.threshold was 0.4 and is 0.6. Take another output folder, or overwrite' in error
    assert files == made()
    status, out, error = generate('--cfg-options', 'proposals.threshold=0.6', out='other')
    assert status == 0, error
    assert any((tmp_path / 'other' / name).read_bytes() != content for name, content in files.items())
    for arguments, words in ((['--launcher', 'pytorch'], 'runs as one process'),
                             (['--batch-size', 0], 'give at least 1 and 0'),
                             (['--images', tmp_path / 'nowhere'], 'does not exist')):
        status, out, error = generate(*arguments, out='never')
        assert status == 1
        assert words in error.splitlines()[-1]
    status, out, error = generate(out='never', checkpoint='no.pth')
    assert status == 1
    assert 'no.pth' in error.splitlines()[-1]
    assert not (tmp_path / 'never').exists()
    pictures = images / 'a'
    cv2.imwrite(str(pictures / 'photo.jpg'), np.full((30, 30, 3), 128, np.uint8))
    photo = (pictures / 'photo.jpg').read_bytes()
    for arguments in (['--images', pictures, '--show-dir', pictures], ['--images', images, '--show-dir', images]):
        status, out, error = generate(*arguments, out='never')
        assert status == 1
        assert 'would replace or hide the image' in error.splitlines()[-1]
    assert (pictures / 'photo.jpg').read_bytes() == photo
    assert not (tmp_path / 'never').exists()

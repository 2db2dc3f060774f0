"""tools/demo_primaps.py as a user runs it."""

import cv2
import numpy as np
import torch

from leopart_mm.models.backbones import DenseViT
from tests.tools.running import run_tool

ARCH = 'vit_small_patch16_224'  # its weights of timm were trained with several colour statistics


def test_an_image_of_things_a_plain_one_and_faults(tmp_path, monkeypatch, capsys):

    def demo(*arguments):
        return run_tool(monkeypatch, capsys, 'demo_primaps.py', *arguments)

    torch.manual_seed(0)
    torch.save(DenseViT(ARCH).state_dict(), tmp_path / 'vit.pth')
    (tmp_path / 'in').mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'in/things.png'), cv2.resize(noise, (120, 80), interpolation=cv2.INTER_NEAREST))
    cv2.imwrite(str(tmp_path / 'in/plain.png'), np.full((20, 30, 3), 90, np.uint8))
    weights = '--checkpoint', tmp_path / 'vit.pth', '--arch', ARCH, '--device', 'cpu', '--out', tmp_path / 'out'
    status, out, error = demo(tmp_path / 'in', *weights, '--size', 70, '--threshold', '0.9', '--masks', 2)
    assert status == 0, error
    assert 'ImageNet statistics are used' in out
    assert 'The side is 64 pixels, whole patches of 16' in out
    for name in ('things', 'plain'):
        sheet = cv2.imread(str(tmp_path / f'out/{name}.png'))
        assert sheet.shape[1] == 4 * 64 + 3 * 4
        assert f'{name}.png: ' in out
    status, out, error = demo(tmp_path / 'in/things.png', *weights, '--mean', 1, 2, 3)
    assert status == 1
    assert 'Give both --mean and --std' in error
    before = (tmp_path / 'in/things.png').read_bytes()
    status, out, error = demo(tmp_path / 'in', *weights[:-1], tmp_path / 'in', '--size', 32)
    assert status == 1
    assert 'would replace or hide the image' in error
    assert (tmp_path / 'in/things.png').read_bytes() == before
    (tmp_path / 'in/things.png').write_bytes(b'no image')
    status, out, error = demo(tmp_path / 'in', *weights, '--size', 32, '--no-crf')
    assert status == 0, error
    assert 'things.png' in out
    assert 'It is skipped' in out
    assert 'plain.png: 1 directions, 1 masks' in out
    status, out, error = demo(tmp_path / 'in/plain.png', *weights, '--masks', 0)
    assert status == 1
    assert '--masks 0: must be at least 1' in error
    status, out, error = demo(tmp_path / 'in/things.png', *weights, '--size', 32, '--no-crf')
    assert status == 1
    assert 'things.png' in error
    assert error.count('\n') == 1

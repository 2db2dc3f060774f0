"""Features of a folder, read back by safetensors and numpy; resumed, refused."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from leopart_mm.apis.backbone_source import BackboneSource
from leopart_mm.apis.extract_features import FeatureRun
from leopart_mm.apis.image_inputs import list_images
from leopart_mm.apis.principal_view import PrincipalViewer
from leopart_mm.datasets.transforms.resizing import resize_image
from leopart_mm.models.backbones import BackboneCheckpointError, DenseViT
from tests.apis.builders import fitted_checkpoint, write_images
from tests.models.backbones.builders import tiny_vit


def source():
    return BackboneSource(tiny_vit(), (120., 110., 100.), (60., 50., 40.))


def test_a_file_has_what_the_network_says(tmp_path):
    image, _ = write_images(tmp_path / 'in', ['a/1.png', 'b/1.png'], (40, 60))
    (tmp_path / 'in' / 'b' / 'cut.jpg').write_bytes(b'\xff\xd8\xff')
    run = FeatureRun(source(), tmp_path / 'out', side=48, block=2)
    report = run.run(tmp_path / 'in')
    assert (report.num_done, len(report.corrupt)) == (2, 1)
    found = load_file(tmp_path / 'out' / 'features' / 'a' / '1.safetensors')
    inputs = torch.from_numpy(resize_image(np.ascontiguousarray(image[..., ::-1]), (32, 48))).permute(2, 0, 1).float()
    normal = (inputs - torch.tensor([120., 110., 100.])[:, None, None]) / torch.tensor([60., 50., 40.])[:, None, None]
    with torch.no_grad():
        expected = tiny_vit().forward_dense(normal[None], [-2])
    assert np.allclose(found['features'], expected.maps[0][0].permute(1, 2, 0), atol=1e-5)
    assert np.allclose(found['class_token'], expected.cls_token[0], atol=1e-5)
    index = json.loads((tmp_path / 'out' / 'features.json').read_text())
    assert index['images']['b/1'] == dict(file='features/b/1.safetensors', size=[40, 60], grid=[4, 6])
    assert (index['arch'], index['patch_size'], index['block'], index['side']) == ('vit_tiny_patch16_224', 8, 2, 48)


@pytest.mark.parametrize('file_format', ['safetensors', 'npz'])
def test_a_second_run_makes_what_is_missing_and_the_same_index(tmp_path, file_format):
    write_images(tmp_path / 'in', ['1.png', '2.png'])
    arguments = dict(side=32, file_format=file_format, dtype='float16')
    FeatureRun(source(), tmp_path / 'out', **arguments).run(tmp_path / 'in')
    index = (tmp_path / 'out' / 'features.json').read_bytes()
    file = tmp_path / 'out' / 'features' / f'2.{file_format}'
    content, time = file.read_bytes(), (tmp_path / 'out' / 'features' / f'1.{file_format}').stat().st_mtime_ns
    file.unlink()
    report = FeatureRun(source(), tmp_path / 'out', **arguments).run(tmp_path / 'in')
    assert (report.num_done, report.num_present) == (1, 1)
    assert (tmp_path / 'out' / 'features' / f'1.{file_format}').stat().st_mtime_ns == time
    assert (tmp_path / 'out' / 'features.json').read_bytes() == index
    if file_format == 'npz':
        assert np.load(file)['features'].dtype == np.float16
        assert np.load(file)['size'].tolist() == [24, 40]
    else:
        assert file.read_bytes() == content
        assert load_file(file)['features'].shape == (2, 4, 32)
    with pytest.raises(ValueError, match='holds features of another network, size, block or format'):
        FeatureRun(source(), tmp_path / 'out', side=40, file_format=file_format)
    other = BackboneSource(tiny_vit(pos_interp='timm'), (120., 110., 100.), (60., 50., 40.))
    with pytest.raises(ValueError, match='holds features of another network'):
        FeatureRun(other, tmp_path / 'out', **arguments)
    assert len(list_images(tmp_path).images) == 2


def test_a_fitted_checkpoint_says_what_its_backbone_is(tmp_path):
    fitted = fitted_checkpoint(tmp_path / 'fitted.pth')
    found = BackboneSource.read(str(fitted))
    assert found.mean == (123.675, 116.28, 103.53)
    assert found.std == (58., 58., 58.)
    assert not found.guessed
    saved = torch.load(fitted, weights_only=False)['state_dict']
    state = found.network.state_dict()
    assert all(torch.equal(value, saved[f'backbone.{name}']) for name, value in state.items())


def test_positions_of_weights_are_resized_as_their_authors_do(tmp_path):
    torch.save(DenseViT('vit_tiny_patch16_224').state_dict(), tmp_path / 'weights.pth')
    for arch, mode in (('vit_tiny_patch16_224.augreg_in21k_ft_in1k', 'timm'), ('vit_tiny_patch16_224', 'dino')):
        assert BackboneSource.read(str(tmp_path / 'weights.pth'), arch).network.pos_interp == mode
    viewer = PrincipalViewer(str(tmp_path / 'weights.pth'), 'vit_tiny_patch16_224.augreg_in21k_ft_in1k', side=32)
    assert viewer.network.pos_interp == 'timm'


def test_weights_that_do_not_fit_are_named_by_their_file(tmp_path):
    state = tiny_vit().state_dict()
    del state['blocks.0.mlp.fc1.weight']
    torch.save(state, tmp_path / 'weights.pth')
    with pytest.raises(BackboneCheckpointError, match=rf'^{tmp_path}/weights\.pth does not fit .*change arch'):
        BackboneSource.read(str(tmp_path / 'weights.pth'), 'vit_tiny_patch16_224')


def test_bad_settings_are_named(tmp_path):
    for arguments, words in ((dict(side=7), 'side=7: the network sees at least one patch of 8 px'),
                             (dict(block=4), 'block=4: the network has 3 blocks'),
                             (dict(file_format='csv'), "format='csv' is unknown"),
                             (dict(dtype='int8'), "dtype='int8' is unknown")):
        with pytest.raises(ValueError, match=words):
            FeatureRun(source(), tmp_path / 'out', **arguments)
    assert not (tmp_path / 'out').exists()
    write_images(tmp_path / 'out' / 'features', ['1.png'])
    with pytest.raises(ValueError, match='holds files that this tool did not write'):
        FeatureRun(source(), tmp_path / 'out')

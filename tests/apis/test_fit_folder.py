"""What flags choose, what counts as the same fit, and which network a checkpoint names."""

import json

import pytest
import torch

from leopart_mm.apis.fit_folder import BACKBONE, fit_folder, plan_fit
from leopart_mm.registry import DATASETS
from tests.apis.builders import fitted_checkpoint, write_images
from tests.datasets.test_examples import ids, photo, write
from tests.paths import REPO


def plan(tmp_path, inputs=None, **kwargs):
    if not (tmp_path / 'in').exists():
        write_images(tmp_path / 'in', ['a.png', 'sub/b.png'])
    return plan_fit(inputs or tmp_path / 'in', tmp_path / 'out', **kwargs)


def head(found):
    return found.config.model.decode_head


def test_flags_choose_the_config(tmp_path):
    found = plan(tmp_path)
    assert (head(found).type, head(found).num_clusters) == ('leopart_mm.OverclusterHead', 30)
    assert found.config.load_from == BACKBONE
    assert found.config.model.backbone.arch == 'vit_small_patch16_224.dino'
    assert found.config.test_dataloader.dataset.data_root == str(tmp_path / 'in')
    assert head(plan(tmp_path, clusters=7)).num_clusters == 7
    found = plan(tmp_path, objects=True, backbone='vit.pth', arch='vit_tiny_patch16_224.augreg_in21k')
    assert list(found.config.model.postprocessors) == ['foreground', 'clusters', 'communities']
    assert (found.config.load_from, list(found.config.model.data_preprocessor.mean)) == ('vit.pth', [127.5] * 3)
    photo(tmp_path / 'examples' / 'a.jpg')
    write(tmp_path / 'examples' / 'a.png', ids(0, 1, 2))
    found = plan(tmp_path, examples=tmp_path / 'examples')
    assert (head(found).type, head(found).num_classes) == ('leopart_mm.RetrievalHead', 3)
    assert found.config.test_cfg.fit_dataloader.dataset.data_root == str(tmp_path / 'examples')
    inside = plan(tmp_path, inputs=tmp_path, examples=tmp_path / 'examples').images
    assert inside.names == ['examples/a', 'in/a', 'in/sub/b']  # the mask beside the example is no image
    assert inside.num_skipped == 1
    found = plan(tmp_path, config=REPO / 'configs/neco/overcluster/vits14_folder.py',
                 backbone='timm://vit_small_patch14_dinov2', options={'model.decode_head.niter': 3})
    assert (found.config.model.backbone.arch, head(found).niter) == ('vit_small_patch14_dinov2.lvd142m', 3)


def test_colours_follow_the_weights(tmp_path):
    """DINOv3's weights of satellite images have colours of their own; the name of the network alone does not tell."""
    for arch, mean in (('vit_large_patch16_dinov3.sat493m', [109.65, 104.805, 75.48]),
                       ('vit_small_patch16_dinov3.lvd1689m', [123.675, 116.28, 103.53])):
        model = plan(tmp_path, backbone='weights.pth', arch=arch).config.model
        assert model.data_preprocessor.mean == mean
        assert model.backbone.arch == arch


def test_single_files_are_fitted_on_alone(tmp_path):
    write_images(tmp_path / 'in', ['a b.png', 'c.png', 'd.png'])
    chosen = [tmp_path / 'in' / 'a b.png', tmp_path / 'in' / 'd.png']
    found = plan(tmp_path, inputs=chosen, clusters=3)
    assert not (tmp_path / 'out').exists()
    found.listing.parent.mkdir(parents=True)
    found.listing.write_text(''.join(f'{path}\n' for path in found.images.images))
    for loader in (found.config.test_dataloader, found.config.test_cfg.fit_dataloader):
        data = DATASETS.build(dict(loader.dataset, pipeline=[]))
        assert [data.get_data_info(index)['img_path'] for index in range(len(data))] == list(map(str, chosen))


def test_what_excludes_itself_or_is_missing_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'There is no image or folder .*nowhere'):
        plan_fit(tmp_path / 'nowhere', tmp_path / 'out')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match=r'There is no image in .*empty or below it'):
        plan_fit(tmp_path / 'empty', tmp_path / 'out')
    for wrong, words in ((dict(clusters=5, objects=True), '--clusters and --objects: choose one of them'),
                         (dict(clusters=70000), '--clusters 70000: label maps hold at most 65535'),
                         (dict(clusters=1), '--clusters 1: at least 2 are needed'),
                         (dict(backbone='a', checkpoint='b'), 'both name a network'),
                         (dict(config=REPO / 'configs/leopart/leopart_dino-vits16_folder.py'),
                          'is no evaluation that is fitted: take one such as')):
        with pytest.raises(ValueError, match=words):
            plan(tmp_path, **wrong)
    with pytest.raises(ValueError, match=r'fitted.pth holds a fitted model: leave --fit out to segment with it'):
        plan(tmp_path, checkpoint=fitted_checkpoint(tmp_path / 'fitted.pth'))


def test_files_of_the_user_are_not_replaced(tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'fitted.pth').write_text('mine')
    with pytest.raises(ValueError, match=r'fitted.pth would be replaced, but no run wrote it there'):
        fit_folder(plan(tmp_path, clusters=5), tmp_path / 'out', overwrite=True)
    assert (tmp_path / 'out' / 'fitted.pth').read_text() == 'mine'


def test_a_training_run_says_its_network(tmp_path):
    cfg = "model = dict(backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', drop_path_rate=0.1, " \
          "model_kwargs=dict(embed_dim=24, num_heads=2)), data_preprocessor=dict(mean=[1, 2, 3], std=[4, 5, 6]))"
    state = {'backbone.x': torch.ones(1), 'teacher.backbone.x': torch.ones(1)}
    torch.save(dict(state_dict=state, meta=dict(cfg=cfg)), tmp_path / 'iter_4.pth')
    found = plan(tmp_path, checkpoint=tmp_path / 'iter_4.pth', clusters=5)
    backbone = found.config.model.backbone
    assert (backbone.arch, backbone.model_kwargs) == ('vit_tiny_patch16_224', dict(embed_dim=24, num_heads=2))
    assert 'drop_path_rate' not in backbone
    assert list(found.config.model.data_preprocessor.std) == [4, 5, 6]
    assert found.config.load_from == str(tmp_path / 'iter_4.pth')


def test_the_same_settings_are_the_same_fit(tmp_path):
    first = plan(tmp_path, clusters=5).settings()
    assert json.loads(json.dumps(first)) == first
    assert plan(tmp_path, clusters=5).settings() == first
    write_images(tmp_path / 'in', ['new.png'], seed=1)
    assert plan(tmp_path, clusters=5).settings() == first  # images that came later are segmented by the same model
    other = plan(tmp_path, clusters=6).settings()
    assert {name for name in first if first[name] != other[name]} == {'clusters'}
    other = plan(tmp_path, clusters=5, options=dict(image_size=[64, 64])).settings()
    assert {name for name in first if first[name] != other[name]} == {'transforms'}
    photo(tmp_path / 'examples' / 'a.jpg')
    write(tmp_path / 'examples' / 'a.png', ids(0, 1))
    first = plan(tmp_path, examples=tmp_path / 'examples').settings()
    write(tmp_path / 'examples' / 'a.png', ids(1, 0))
    other = plan(tmp_path, examples=tmp_path / 'examples').settings()
    assert {name for name in first if first[name] != other[name]} == {'examples'}

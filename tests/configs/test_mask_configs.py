"""MaskDistill's masks: every config makes them of a tiny copy of its data set, by the published settings but one."""

import json

import numpy as np
import pytest
from PIL import Image

from leopart_mm.apis.generate_masks import generate_masks
from leopart_mm.engine.config import load_config
from tests.paths import REPO

PATHS = sorted((REPO / 'configs' / 'maskdistill').glob('masks_*.py'))
OURS = 'masks_vit-tiny_voc-subset'
TINY = dict(img_size=32, patch_size=8, embed_dim=48, depth=7, num_heads=6)


@pytest.fixture
def root(tmp_path):
    """VOC's layout; the last image is in no list."""
    rng = np.random.default_rng(0)
    for folder, name in (('JPEGImages', None), ('ImageSets/Main', 'trainval'), ('ImageSets/Segmentation', 'train')):
        (tmp_path / 'voc' / folder).mkdir(parents=True)
        if name:
            (tmp_path / 'voc' / folder / f'{name}.txt').write_text('b\na\n')
    for name, size in (('a', (33, 40)), ('b', (40, 24)), ('c', (24, 24))):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / 'voc' / 'JPEGImages' / f'{name}.jpg')
    return tmp_path / 'voc'


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_masks_of_a_tiny_copy(path, root, tmp_path):
    folder = path.stem.endswith('folder')
    data_root = str(root / 'JPEGImages' if folder else root)
    cfg = load_config(path, dict(data_root=data_root, checkpoint=None, short_side=32))
    assert cfg.proposal_dataloader.dataset.pipeline[1].size == 32
    cfg.model.backbone.model_kwargs = TINY
    report = generate_masks(cfg, tmp_path / 'out', workers=0)
    found = json.loads((tmp_path / 'out' / 'annotations.json').read_text())
    sizes = {image['file_name']: (image['height'], image['width']) for image in found['images']}
    assert list(sizes) == [f'{name}.jpg' for name in ('abc' if folder else 'ba')]
    assert sizes['a.jpg'] == (33, 40)
    assert len(found['annotations']) == sum(report.masks.values()) > 0
    assert all(entry['area'] > 0 and entry['category_id'] == 0 for entry in found['annotations'])


def test_published_settings():
    sizes = {path.stem: load_config(path).proposal_dataloader.dataset.pipeline[1].size for path in PATHS}
    assert sizes == {OURS: 320, 'masks_dino-vits16_folder': 640, 'masks_dino-vits16_voc': 640}
    published = dict(type='leopart_mm.ObjectSeedProposals', heads=5, topk=0.4, mass=0.5, block=-1, center_keys=False,
                     softmax=False, compat=False, threshold=0)
    for path in PATHS:
        ours = dict(block=5, center_keys=True, softmax=True) if path.stem == OURS else {}
        assert load_config(path).proposals.to_dict() == published | ours

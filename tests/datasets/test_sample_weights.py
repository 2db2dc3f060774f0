"""The small network that comes along: what docs/sample_network.md says of it is so."""

import hashlib

import numpy as np
import torch
from safetensors.torch import load_file

from leopart_mm.datasets.sample import WEIGHTS, draw_scene
from leopart_mm.engine.config import load_config
from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.masks import BorderContrastMasks, MaskInputs
from leopart_mm.registry import MODELS
from tests.paths import REPO


def test_the_page_names_this_file():
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() in (REPO / 'docs/sample_network.md').read_text()
    assert WEIGHTS.stat().st_size < 3e6


def test_every_weight_reaches_the_network_of_the_sample_configs():
    config = load_config(REPO / 'configs/sample/overcluster_k50_vit-micro_sample.py')
    backbone = MODELS.build({**config.model.backbone, 'checkpoint': str(WEIGHTS)})
    torch.manual_seed(0)
    backbone.init_weights()
    tensors = load_file(WEIGHTS)
    state = {name.removeprefix('vit.'): tensor for name, tensor in backbone.state_dict().items()}
    assert set(tensors) <= set(state)
    assert all(torch.equal(state[name], tensor.float()) for name, tensor in tensors.items() if name != 'pos_embed')


def test_it_tells_objects_from_the_border():
    """The masks of the demo's chain agree with the objects of scenes that the network has not seen."""
    config = load_config(REPO / 'configs/sample/overcluster_k50_vit-micro_sample.py')
    backbone = MODELS.build({**config.model.backbone, 'checkpoint': str(WEIGHTS)})
    backbone.init_weights()
    scenes = [draw_scene(128, np.random.default_rng((9, index))) for index in range(12)]
    mean, std = (torch.tensor(list(config[name])).view(3, 1, 1) for name in ('mean', 'std'))
    images = torch.stack([(torch.from_numpy(scene.image.copy()).permute(2, 0, 1) - mean) / std for scene in scenes])
    with torch.no_grad():
        maps = backbone.eval()(images)[-1]
    masks = BorderContrastMasks()(MaskInputs(['scene'] * 12, (16, 16), [Extent(0, 16, 0, 16)] * 12, features=maps)) > 0
    objects = torch.stack([torch.from_numpy(scene.classes > 0) for scene in scenes]).float()[:, None]
    objects = torch.nn.functional.avg_pool2d(objects, 8)[:, 0] > 0.5
    iou = (masks & objects).sum((1, 2)) / (masks | objects).sum((1, 2))
    assert iou.mean() > 0.6

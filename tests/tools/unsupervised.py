"""A generated data set, a tiny random network and a config of the whole chain for it."""

import torch

from leopart_mm.datasets.sample import write_sample
from leopart_mm.models.backbones import DenseViT
from tests.paths import REPO

CONFIG = """
_base_ = '{base}'
data_root = '{data}'
model = dict(
    backbone=dict(arch='vit_tiny_patch16_224',
                  model_kwargs=dict(img_size=64, patch_size=8, embed_dim=24, depth=2, num_heads=2)),
    decode_head=dict(num_clusters=24, pca_dim=8, niter=10, nredo=1),
    postprocessors=dict(
        foreground=dict(map_size=(40, 40)),
        clusters=dict(num_clusters=12, niter=10, nredo=1, map_size=(40, 40)),
        communities=dict(weight_threshold=0.01, seeds=2, preferred_modules=4, map_size=(40, 40))))
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='Resize', scale=(64, 64)),
            dict(type='PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape', 'split'))]
test_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(data_root=data_root, pipeline=pipeline))
test_cfg = dict(fit_dataloader=dict(batch_size=4, num_workers=0, dataset=dict(data_root=data_root, pipeline=pipeline)))
test_evaluator = dict(eval_size=(40, 40))
"""


def make(folder):
    """Paths of the config, the checkpoint and the data root."""
    data = folder / 'data'
    write_sample(data, 16, 64, seed=0)
    torch.manual_seed(0)
    vit = DenseViT('vit_tiny_patch16_224', dict(img_size=64, patch_size=8, embed_dim=24, depth=2, num_heads=2))
    torch.save(vit.state_dict(), folder / 'vit.pth')
    config = folder / 'chain.py'
    config.write_text(CONFIG.format(base=REPO / 'configs/leopart/fully_unsup/vits16_small.py', data=data))
    return config, folder / 'vit.pth', data

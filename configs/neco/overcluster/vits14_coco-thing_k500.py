# Overclustering of ViT-S/14 features: COCO-Things val2017, K = 500.
_base_ = [
    '../../_base_/models/overcluster.py', '../../_base_/datasets/coco-thing_overcluster.py',
    '../../_base_/evaluation_runtime.py',
]
arch = 'vit_small_patch14_dinov2'
model = dict(backbone=dict(arch=arch))
test_dataloader = dict(batch_size=32)

# Overclustering of ViT-B/8 features: COCO-Stuff val2017, K = 500.
_base_ = [
    '../../_base_/models/overcluster.py', '../../_base_/datasets/coco-stuff_overcluster.py',
    '../../_base_/evaluation_runtime.py',
]
arch = 'vit_base_patch8_224'
model = dict(backbone=dict(arch=arch))
test_dataloader = dict(batch_size=10)

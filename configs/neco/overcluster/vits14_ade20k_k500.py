# Overclustering of ViT-S/14 features: ADE20K validation, K = 500.
_base_ = [
    '../../_base_/models/overcluster.py', '../../_base_/datasets/ade20k_overcluster.py',
    '../../_base_/evaluation_runtime.py',
]
arch = 'vit_small_patch14_dinov2'
model = dict(backbone=dict(arch=arch))
test_evaluator = dict(ignore_index=0)

# Overclustering of ViT-S/14 features: ADE20K validation, K = 151.
_base_ = [
    '../../_base_/models/overcluster.py', '../../_base_/datasets/ade20k_overcluster.py',
    '../../_base_/evaluation_runtime.py',
]
arch = 'vit_small_patch14_dinov2'
num_clusters = 151
model = dict(backbone=dict(arch=arch), decode_head=dict(num_clusters=num_clusters))
test_evaluator = dict(ignore_index=0)

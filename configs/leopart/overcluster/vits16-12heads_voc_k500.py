# Overclustering of ViT-S/16 with 12 heads (MoCo-v3) features: Pascal VOC val, K = 500.
_base_ = [
    '../../_base_/models/overcluster.py', '../../_base_/datasets/voc_overcluster.py',
    '../../_base_/evaluation_runtime.py',
]
model = dict(
    backbone=dict(model_kwargs=dict(num_heads=12)))  # weights would load with 6 as well

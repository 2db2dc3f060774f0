# Overclustering of ViT-S/16 features: ADE20K street parts val, K = 500.
_base_ = [
    '../../_base_/models/overcluster.py', '../../_base_/datasets/ade20k-street_overcluster.py',
    '../../_base_/evaluation_runtime.py',
]

# Overclustering of ViT-S/16 features: Pascal VOC val, K = 500.
_base_ = [
    '../../_base_/models/overcluster.py', '../../_base_/datasets/voc_overcluster.py',
    '../../_base_/evaluation_runtime.py',
]

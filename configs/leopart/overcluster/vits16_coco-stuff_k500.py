# Overclustering of ViT-S/16 features: COCO-Stuff val2017, K = 500.
_base_ = [
    '../../_base_/models/overcluster.py', '../../_base_/datasets/coco-stuff_overcluster.py',
    '../../_base_/evaluation_runtime.py',
]

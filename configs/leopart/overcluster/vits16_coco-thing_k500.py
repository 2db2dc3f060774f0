# Overclustering of ViT-S/16 features: COCO-Things val2017, K = 500.
_base_ = [
    '../../_base_/models/overcluster.py', '../../_base_/datasets/coco-thing_overcluster.py',
    '../../_base_/evaluation_runtime.py',
]

# Overclustering of ResNet-50 features: COCO-Stuff val2017, K = 500.
_base_ = [
    '../../_base_/models/overcluster_r50.py', '../../_base_/datasets/coco-stuff_overcluster.py',
    '../../_base_/evaluation_runtime.py',
]

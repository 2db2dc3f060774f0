# Overclustering of ViT-B/16 features: Pascal VOC val, K = 500.
_base_ = [
    '../../_base_/models/overcluster.py', '../../_base_/datasets/voc_overcluster.py',
    '../../_base_/evaluation_runtime.py',
]
arch = 'vit_base_patch16_224'
model = dict(backbone=dict(arch=arch))

# Overclustering of ViT-S/14 features: COCO-Things val2017, K = 300.
_base_ = [
    '../../_base_/models/overcluster.py', '../../_base_/datasets/coco-thing_overcluster.py',
    '../../_base_/evaluation_runtime.py',
]
arch = 'vit_small_patch14_dinov2'
num_clusters = 300
model = dict(backbone=dict(arch=arch), decode_head=dict(num_clusters=num_clusters))
test_dataloader = dict(batch_size=32)

# Overclustering of ViT-B/8 features: Pascal VOC val, K = 21.
_base_ = [
    '../../_base_/models/overcluster.py', '../../_base_/datasets/voc_overcluster.py',
    '../../_base_/evaluation_runtime.py',
]
arch = 'vit_base_patch8_224'
num_clusters = 21
model = dict(backbone=dict(arch=arch), decode_head=dict(num_clusters=num_clusters))
test_dataloader = dict(batch_size=10)

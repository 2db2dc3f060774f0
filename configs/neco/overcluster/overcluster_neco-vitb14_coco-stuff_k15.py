# Overclustering of NeCo ViT-B/14: COCO-Stuff val2017, K = 15.
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/coco-stuff_overcluster.py',
          '../../_base_/overcluster_runtime.py']
model = dict(backbone=dict(arch='vit_base_patch14_dinov2'), decode_head=dict(num_clusters=15))
test_dataloader = dict(batch_size=32)

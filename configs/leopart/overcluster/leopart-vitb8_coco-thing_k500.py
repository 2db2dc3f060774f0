# Overclustering of Leopart ViT-B/8: COCO-Things val, K = 500.
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/coco-thing_overcluster.py',
          '../../_base_/overcluster_runtime.py']
model = dict(backbone=dict(arch='vit_base_patch8_224'))
test_dataloader = dict(batch_size=10)

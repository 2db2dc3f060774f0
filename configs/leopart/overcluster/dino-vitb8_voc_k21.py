# Overclustering of DINO ViT-B/8: Pascal VOC val, K = 21.
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/voc_overcluster.py',
          '../../_base_/overcluster_runtime.py']
model = dict(backbone=dict(arch='vit_base_patch8_224'), decode_head=dict(num_clusters=21))
test_dataloader = dict(batch_size=10)

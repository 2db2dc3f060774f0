# Overclustering of MAE ViT-B/16 fine-tuned with Leopart: Pascal VOC val, K = 500.
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/voc_overcluster.py',
          '../../_base_/overcluster_runtime.py']
model = dict(backbone=dict(arch='vit_base_patch16_224'))

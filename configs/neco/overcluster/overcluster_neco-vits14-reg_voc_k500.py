# Overclustering of NeCo ViT-S/14 with registers: Pascal VOC val, K = 500. Published (repository): 68.9 mIoU from
# DINOv2R.
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/voc_overcluster.py',
          '../../_base_/overcluster_runtime.py']
model = dict(backbone=dict(arch='vit_small_patch14_reg4_dinov2'))
test_dataloader = dict(batch_size=32)

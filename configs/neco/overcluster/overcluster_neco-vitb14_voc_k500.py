# Overclustering of NeCo ViT-B/14: Pascal VOC val, K = 500. Published (repository): 71.1 mIoU from DINOv2, 71.8 mIoU
# from DINOv2R-XR.
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/voc_overcluster.py',
          '../../_base_/overcluster_runtime.py']
model = dict(backbone=dict(arch='vit_base_patch14_dinov2'))
test_dataloader = dict(batch_size=32)

# Overclustering of NeCo ViT-S/16: Pascal VOC val, K = 500. Published (repository): 47.9 mIoU from DINO, 53.1 mIoU from
# TimeT, 55.3 mIoU from Leopart.
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/voc_overcluster.py',
          '../../_base_/overcluster_runtime.py']
test_dataloader = dict(batch_size=32)

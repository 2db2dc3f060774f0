# Overclustering of Leopart ViT-S/16, trained on COCO: Pascal VOC val, K = 500.
# Published ViT-S/16 (paper; for which training set is not stated): 53.5 mIoU.
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/voc_overcluster.py',
          '../../_base_/overcluster_runtime.py']

# Overclustering of DINO ViT-S/16: Pascal VOC val, K = 500.
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/voc_overcluster.py',
          '../../_base_/overcluster_runtime.py']

# Overclustering of supervised ViT-S/16 fine-tuned with Leopart: Pascal VOC val, K = 500.
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/voc_overcluster.py',
          '../../_base_/overcluster_runtime.py']

# Overclustering of Leopart ViT-S/16, trained on ImageNet-100: COCO-Stuff val, K = 500.
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/coco-stuff_overcluster.py',
          '../../_base_/overcluster_runtime.py']

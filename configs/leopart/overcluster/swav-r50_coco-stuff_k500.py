# Overclustering of SwAV ResNet-50: COCO-Stuff val, K = 500.
_base_ = ['../../_base_/models/overcluster_r50.py', '../../_base_/datasets/coco-stuff_overcluster.py',
          '../../_base_/overcluster_runtime.py']

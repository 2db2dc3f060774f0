# Overclustering of supervised ResNet-50: COCO-Things val, K = 500.
_base_ = ['../../_base_/models/overcluster_r50.py', '../../_base_/datasets/coco-thing_overcluster.py',
          '../../_base_/overcluster_runtime.py']

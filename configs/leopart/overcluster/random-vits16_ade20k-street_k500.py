# Overclustering of a ViT-S/16 with random weights (no checkpoint is needed): ADE20K street parts val, K = 500.
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/ade20k-street_overcluster.py',
          '../../_base_/overcluster_runtime.py']

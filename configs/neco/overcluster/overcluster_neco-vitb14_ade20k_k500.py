# Overclustering of NeCo ViT-B/14: ADE20K validation, K = 500.
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/ade20k_overcluster.py',
          '../../_base_/overcluster_runtime.py']
model = dict(backbone=dict(arch='vit_base_patch14_dinov2'))
test_evaluator = dict(ignore_index=0)

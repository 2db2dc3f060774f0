# Overclustering of MoCo-v3 ViT-S/16: Pascal VOC val, K = 500.
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/voc_overcluster.py',
          '../../_base_/overcluster_runtime.py']
# MoCo-v3's ViT-S has 12 heads; weights would load with 6 as well.
model = dict(backbone=dict(model_kwargs=dict(num_heads=12)))

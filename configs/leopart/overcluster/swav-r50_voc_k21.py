# Overclustering of SwAV ResNet-50: Pascal VOC val, K = 21.
_base_ = ['../../_base_/models/overcluster_r50.py', '../../_base_/datasets/voc_overcluster.py',
          '../../_base_/overcluster_runtime.py']
model = dict(decode_head=dict(num_clusters=21))

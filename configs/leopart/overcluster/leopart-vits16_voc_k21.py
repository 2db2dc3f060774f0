# Overclustering of Leopart ViT-S/16: Pascal VOC val, K = 21.
# Published (paper, table 5): 18.9 mIoU; reproduction 18.0.
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/voc_overcluster.py',
          '../../_base_/overcluster_runtime.py']
model = dict(decode_head=dict(num_clusters=21))

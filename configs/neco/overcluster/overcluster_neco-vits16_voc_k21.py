# Overclustering of NeCo ViT-S/16: Pascal VOC val, K = 21. Published, by initialisation: DINO 14.5, TimeT 17.9, Leopart
# 21.0, iBOT 15.4, CrIBo 21.7 (paper, table 3).
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/voc_overcluster.py',
          '../../_base_/overcluster_runtime.py']
model = dict(decode_head=dict(num_clusters=21))
test_dataloader = dict(batch_size=32)

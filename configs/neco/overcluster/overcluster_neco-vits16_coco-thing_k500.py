# Overclustering of NeCo ViT-S/16: COCO-Things val2017, K = 500. Published, by initialisation: DINO 50.0, TimeT 54.3,
# Leopart 53.9, iBOT 52.8, CrIBo 54.0 (paper, table 3).
_base_ = ['../../_base_/models/overcluster_vits16.py', '../../_base_/datasets/coco-thing_overcluster.py',
          '../../_base_/overcluster_runtime.py']
test_dataloader = dict(batch_size=32)

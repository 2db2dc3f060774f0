# Fully unsupervised segmentation of Pascal VOC val (CBFE and community detection), ViT-S/14: K = 189, Markov time
# 1.2, edge threshold 0.07 (published settings; everything else is Leopart's).
_base_ = '../../leopart/_base_/fully_unsup.py'
arch = 'vit_small_patch14_dinov2'
model = dict(
    backbone=dict(arch=arch),
    postprocessors=dict(
        clusters=dict(num_clusters=189), communities=dict(weight_threshold=0.07, markov_time=1.2)))

# Fully unsupervised segmentation of Pascal VOC val (CBFE and community detection), ViT-B/14: K = 149, Markov time
# 1.7, edge threshold 0.07 (published settings; everything else is Leopart's).
_base_ = '../../leopart/_base_/fully_unsup.py'
arch = 'vit_base_patch14_dinov2'
model = dict(
    backbone=dict(arch=arch),
    postprocessors=dict(
        clusters=dict(num_clusters=149), communities=dict(weight_threshold=0.07, markov_time=1.7)))

# Leopart "+CD" with ViT-B/8: K = 109, Markov time 0.4, edge threshold 0.07 (published settings; no Table 5 row).
_base_ = '../_base_/fully_unsup.py'
arch = 'vit_base_patch8_224'
model = dict(
    backbone=dict(arch=arch),
    postprocessors=dict(
        clusters=dict(num_clusters=109), communities=dict(weight_threshold=0.07, markov_time=0.4)))
test_dataloader = dict(batch_size=4)
test_cfg = dict(fit_dataloader=dict(batch_size=4))

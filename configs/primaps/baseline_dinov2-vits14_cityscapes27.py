# The baseline, batch-wise cosine k-means, on Cityscapes-27: features of DINOv2 ViT-S/14 at 322 x 322. Its epochs are
# not stated: 50, as EM. With epochs=2 it gives the first prototypes of PriMaPs-EM. Rates, EMA and epochs are not stated
# for this network: those of Cityscapes with DINO are taken.
_base_ = [
    '../_base_/models/primaps_kmeans.py', '../_base_/datasets/cityscapes27_kmeans_322.py',
    '../_base_/schedules/primaps_kmeans_50e.py', '../_base_/primaps_scores.py', '../_base_/probe_runtime.py'
]
arch = 'vit_small_patch14_dinov2'
checkpoint = 'checkpoints/dinov2_vits14_pretrain.pth'
model = dict(backbone=dict(arch=arch, checkpoint=checkpoint))

# PriMaPs-EM on Cityscapes-27: features of DINOv2 ViT-B/14 at 322 x 322, 50 epochs of batches of 32. Rates, EMA and
# epochs are not stated for this network: those of Cityscapes with DINO are taken.
_base_ = [
    '../_base_/models/primaps.py', '../_base_/datasets/cityscapes27_primaps_322.py',
    '../_base_/schedules/primaps_50e.py', '../_base_/primaps_scores.py', '../_base_/probe_runtime.py'
]
initialisation = 'baseline_dinov2-vitb14_cityscapes27.py'
arch = 'vit_base_patch14_dinov2'
checkpoint = 'checkpoints/dinov2_vitb14_pretrain.pth'
model = dict(backbone=dict(arch=arch, checkpoint=checkpoint))

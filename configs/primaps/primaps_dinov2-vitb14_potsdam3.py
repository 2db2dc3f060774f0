# PriMaPs-EM on Potsdam-3: features of DINOv2 ViT-B/14 at 322 x 322, 50 epochs of batches of 32. Rates, EMA and epochs
# are not stated for this data set and network: those of Cityscapes with DINO are taken.
_base_ = [
    '../_base_/models/primaps.py', '../_base_/datasets/potsdam3_primaps_322.py',
    '../_base_/schedules/primaps_50e.py', '../_base_/primaps_scores.py', '../_base_/probe_runtime.py'
]
initialisation = 'baseline_dinov2-vitb14_potsdam3.py'
arch = 'vit_base_patch14_dinov2'
checkpoint = 'checkpoints/dinov2_vitb14_pretrain.pth'
num_classes = 3
model = dict(
    backbone=dict(arch=arch, checkpoint=checkpoint),
    decode_head=dict(num_prototypes=num_classes),
    linear_probe=dict(num_classes=num_classes))

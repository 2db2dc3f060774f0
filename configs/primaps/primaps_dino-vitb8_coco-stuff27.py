# PriMaPs-EM on COCO-Stuff-27: features of DINO ViT-B/8 at 320 x 320, 50 epochs of batches of 32. Rates, EMA and epochs
# are not stated for this data set: those of Cityscapes with DINO are taken.
_base_ = [
    '../_base_/models/primaps.py', '../_base_/datasets/coco-stuff27_primaps.py',
    '../_base_/schedules/primaps_50e.py', '../_base_/primaps_scores.py', '../_base_/probe_runtime.py'
]
initialisation = 'baseline_dino-vitb8_coco-stuff27.py'
arch = 'vit_base_patch8_224'
checkpoint = 'checkpoints/dino_vitbase8_pretrain.pth'
model = dict(backbone=dict(arch=arch, checkpoint=checkpoint))

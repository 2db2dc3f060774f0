# PriMaPs-EM on Potsdam-3 on top of HP: codes of its DINO ViT-S/8 at 320 x 320. `checkpoint` is a ckpt.pth of HP, which
# holds network, head and first prototypes. That it is HP is not stated. Rates, EMA and epochs are not stated for this
# data set: those of Cityscapes with DINO are taken.
_base_ = [
    '../_base_/models/primaps.py', '../_base_/datasets/potsdam3_primaps.py',
    '../_base_/schedules/primaps_50e.py', '../_base_/primaps_scores.py', '../_base_/probe_runtime.py'
]
arch = 'vit_small_patch8_224'
checkpoint = 'checkpoints/hp_vits8_potsdam3.pth'
initialisation = None
load_from = checkpoint
num_classes = 3
model = dict(
    backbone=dict(arch=arch, checkpoint=checkpoint),
    neck=dict(type='leopart_mm.CodeHead', checkpoint=checkpoint),
    decode_head=dict(num_prototypes=num_classes),
    linear_probe=dict(num_classes=num_classes))

# PriMaPs-EM on Cityscapes-27 on top of STEGO: codes of its DINO ViT-B/8 at 320 x 320. `checkpoint` is a Lightning file
# of STEGO, which holds network, head and first prototypes. The example of the published repository.
_base_ = [
    '../_base_/models/primaps.py', '../_base_/datasets/cityscapes27_primaps.py',
    '../_base_/schedules/primaps_50e.py', '../_base_/primaps_scores.py', '../_base_/probe_runtime.py'
]
arch = 'vit_base_patch8_224'
checkpoint = 'checkpoints/stego_vitb8_cityscapes27.ckpt'
initialisation = None
load_from = checkpoint
model = dict(
    backbone=dict(arch=arch, checkpoint=checkpoint),
    neck=dict(type='leopart_mm.CodeHead', checkpoint=checkpoint))

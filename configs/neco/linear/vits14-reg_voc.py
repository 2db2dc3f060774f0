# Linear segmentation on frozen ViT-S/14 with registers features, Pascal VOC (see vits14_voc.py).
_base_ = './vits14_voc.py'
arch = 'vit_small_patch14_reg4_dinov2'
model = dict(backbone=dict(arch=arch))

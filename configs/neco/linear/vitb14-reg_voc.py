# Linear segmentation on frozen ViT-B/14 with registers features, Pascal VOC (see vits14_voc.py).
_base_ = './vitb14_voc.py'
arch = 'vit_base_patch14_reg4_dinov2'
model = dict(backbone=dict(arch=arch))

# NeCo from DINOv2 ViT-S/14 with registers on COCO, crops of 518 and 98, 1 GPU x 64, 25 epochs.
_base_ = './_base_/coco_518.py'
arch = 'vit_small_patch14_reg4_dinov2'
checkpoint = 'checkpoints/dinov2_vits14_reg4_pretrain.pth'
model = dict(backbone=dict(arch=arch, class_position=True, checkpoint=checkpoint))

# NeCo from DINOv2's register weights in a ViT-S/14 without registers ("XR") on COCO, 1 GPU x 64, 25 epochs.
_base_ = './_base_/coco_518.py'
checkpoint = 'checkpoints/dinov2_vits14_reg4_pretrain.pth'
model = dict(backbone=dict(drop_registers=True, checkpoint=checkpoint))

# Leopart from a supervised ViT-S/16 on COCO; train_coco_supvit of the paper.
# Any supervised weights will do; those of DeiT share this config's mean and std.
_base_ = './leopart_dino-vits16_coco.py'
checkpoint = 'checkpoints/deit_small_patch16_224-cd65a155.pth'
model = dict(backbone=dict(checkpoint=checkpoint))

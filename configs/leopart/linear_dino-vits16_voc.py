# Linear segmentation on frozen DINO ViT-S/16 features, Pascal VOC.
_base_ = './linear_leopart-vits16_voc.py'
checkpoint = 'checkpoints/dino_deitsmall16_pretrain.pth'
model = dict(backbone=dict(checkpoint=checkpoint))

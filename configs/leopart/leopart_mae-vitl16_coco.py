# Leopart from MAE ViT-L/16 on COCO; train_coco_mae_large of the paper.
_base_ = './leopart_dino-vits16_coco.py'
arch = 'vit_large_patch16_224'
checkpoint = 'checkpoints/mae_pretrain_vit_large.pth'
model = dict(backbone=dict(arch=arch, checkpoint=checkpoint))

# Leopart from MAE ViT-B/16 on COCO; train_coco_mae_base of the paper.
_base_ = './leopart_dino-vits16_coco.py'
arch = 'vit_base_patch16_224'
checkpoint = 'checkpoints/mae_pretrain_vit_base.pth'
model = dict(backbone=dict(arch=arch, checkpoint=checkpoint))

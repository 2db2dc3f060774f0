# Leopart from MoCo-v3 ViT-S/16 on COCO; train_coco_mocov3 of the paper.
# MoCo-v3's ViT-S has 12 heads, not 6; weights would load either way.
_base_ = './leopart_dino-vits16_coco.py'
checkpoint = 'checkpoints/vit-s-300ep.pth.tar'
model = dict(backbone=dict(checkpoint=checkpoint, model_kwargs=dict(num_heads=12)))

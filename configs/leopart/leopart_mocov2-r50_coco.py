# Leopart from MoCo-v2 ResNet-50 on COCO; train_coco_mocov2_res of the paper.
# Without attention there is no foreground: mask all. Batch statistics are frozen, so that student and teacher agree.
_base_ = './leopart_dino-vits16_coco.py'
checkpoint = 'checkpoints/moco_v2_800ep_pretrain.pth.tar'
model = dict(
    backbone=dict(_delete_=True, type='leopart_mm.DenseResNet', depth=50, checkpoint=checkpoint, norm_eval=True),
    head=dict(mask='all'))

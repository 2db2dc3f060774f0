# Leopart from DINO ViT-B/8 on COCO, 2 GPUs x 16, rates halved; train_coco_dino_vitb8 of the paper.
_base_ = './leopart_dino-vits16_coco.py'
arch = 'vit_base_patch8_224'
checkpoint = 'checkpoints/dino_vitbase8_pretrain.pth'
model = dict(backbone=dict(arch=arch, checkpoint=checkpoint))
optim_wrapper = dict(optimizer=dict(lr=5e-6), paramwise_cfg=dict(head_lr=5e-5))
train_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=32)

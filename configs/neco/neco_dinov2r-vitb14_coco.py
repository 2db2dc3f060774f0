# NeCo from DINOv2 ViT-B/14 with registers on COCO, crops of 518 and 98, 1 GPU x 16, 25 epochs. (The published table
# calls it S/14.)
_base_ = './_base_/coco_518.py'
arch = 'vit_base_patch14_reg4_dinov2'
checkpoint = 'checkpoints/dinov2_vitb14_reg4_pretrain.pth'
model = dict(backbone=dict(arch=arch, class_position=True, checkpoint=checkpoint))
optim_wrapper = dict(optimizer=dict(lr=1e-6))
train_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=16)

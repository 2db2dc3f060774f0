# Published example neco_224x224: DINOv2 ViT-S/14 with registers on COCO, crops of 224 and 98, 1 GPU x 6, 50 epochs,
# references from the batch. It states no number.
_base_ = './neco_dino-vits16_coco.py'
checkpoint = 'checkpoints/dinov2_vits14_reg4_pretrain.pth'
model = dict(
    backbone=dict(arch='vit_small_patch14_reg4_dinov2', class_position=True, size_mode='pad', checkpoint=checkpoint))
optim_wrapper = dict(optimizer=dict(lr=1e-6))
train_dataloader = dict(batch_size=6)
auto_scale_lr = dict(base_batch_size=6)

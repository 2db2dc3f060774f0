# NeCo from DINOv2 ViT-B/14 on COCO, crops of 518 and 98, 1 GPU x 16, 25 epochs.
# Published (repository): 71.1 mIoU overclustering K = 500, 82.8 dense retrieval, 84.5 linear, on VOC val.
_base_ = './neco_dinov2-vits14_coco.py'
checkpoint = 'checkpoints/dinov2_vitb14_pretrain.pth'
model = dict(backbone=dict(arch='vit_base_patch14_dinov2', checkpoint=checkpoint))
optim_wrapper = dict(optimizer=dict(lr=5e-6))
train_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=16)

# NeCo from DINOv2 ViT-B/14 with registers on COCO, crops of 518 and 98, 1 GPU x 16, 25 epochs.
# Published (repository, where its table says S/14): 71.9 mIoU overclustering K = 500, 82.9 dense retrieval, 84.4
# linear, on VOC val.
_base_ = './neco_dinov2-vitb14_coco.py'
checkpoint = 'checkpoints/dinov2_vitb14_reg4_pretrain.pth'
model = dict(backbone=dict(arch='vit_base_patch14_reg4_dinov2', class_position=True, checkpoint=checkpoint))
optim_wrapper = dict(optimizer=dict(lr=1e-6))

# NeCo from DINOv2 ViT-S/14 with registers on COCO, crops of 518 and 98, 1 GPU x 64, 25 epochs.
# Published (repository): 68.9 mIoU overclustering K = 500, 80.7 dense retrieval, 81.5 linear, on VOC val.
_base_ = './neco_dinov2-vits14_coco.py'
checkpoint = 'checkpoints/dinov2_vits14_reg4_pretrain.pth'
model = dict(backbone=dict(arch='vit_small_patch14_reg4_dinov2', class_position=True, checkpoint=checkpoint))

# Linear segmentation on frozen NeCo ViT-S/14 with registers features, Pascal VOC. Published (repository): 81.5 mIoU
# from DINOv2R.
_base_ = './linear_neco-vits14_voc.py'
model = dict(backbone=dict(arch='vit_small_patch14_reg4_dinov2'))

# Linear segmentation on frozen NeCo ViT-B/14 with registers features, Pascal VOC. Published (repository): 84.4 mIoU
# from DINOv2R.
_base_ = './linear_neco-vits14_voc.py'
model = dict(
    backbone=dict(arch='vit_base_patch14_reg4_dinov2'),
    decode_head=dict(in_channels=768, channels=768))

# Linear segmentation on frozen NeCo ViT-B/14 features, Pascal VOC. Published (repository): 84.5 mIoU from DINOv2, 83.3
# mIoU from DINOv2R-XR.
_base_ = './linear_neco-vits14_voc.py'
model = dict(
    backbone=dict(arch='vit_base_patch14_dinov2'),
    decode_head=dict(in_channels=768, channels=768))

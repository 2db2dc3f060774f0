# Linear segmentation on frozen NeCo ViT-B/14 features, ADE20K, as linear_neco-vits14_ade20k.py. Published: 44.9 mIoU
# from DINOv2R-XR (paper, table 2).
_base_ = './linear_neco-vits14_ade20k.py'
model = dict(
    backbone=dict(arch='vit_base_patch14_dinov2'),
    decode_head=dict(in_channels=768, channels=768))

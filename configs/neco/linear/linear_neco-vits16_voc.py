# Linear segmentation on frozen NeCo ViT-S/16 features, Pascal VOC. Published (repository): 65.8 mIoU from DINO, 68.5
# mIoU from TimeT, 68.3 mIoU from Leopart.
_base_ = './linear_neco-vits14_voc.py'
model = dict(data_preprocessor=dict(test_cfg=dict(size_divisor=16)), backbone=dict(arch='vit_small_patch16_224'))

# Linear segmentation on frozen SwAV ResNet-50 features (stride 16), Pascal VOC.
_base_ = './linear_leopart-vits16_voc.py'
checkpoint = 'checkpoints/swav_800ep_pretrain.pth.tar'
model = dict(
    backbone=dict(
        _delete_=True, type='leopart_mm.DenseResNet', depth=50, checkpoint=checkpoint, frozen_stages=4, norm_eval=True),
    decode_head=dict(in_channels=2048, channels=2048))

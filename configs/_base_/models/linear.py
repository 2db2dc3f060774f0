# Linear probe (docs/methods/leopart.md §9): a 1x1 convolution on the frozen last map, resized to 100 x 100 in training.
# In evaluation the logits are resized instead of the features: the same for a 1x1 convolution.
_base_ = './_vit_decoder.py'
model = dict(
    backbone=dict(frozen_stages=_base_.depth),
    neck=dict(type='leopart_mm.FeatureToSize', size=(100, 100)),
    decode_head=dict(
        type='FCNHead', num_convs=0, concat_input=False, in_channels=_base_.embed_dims, channels=_base_.embed_dims,
        in_index=0, num_classes=_base_.num_classes, dropout_ratio=0., norm_cfg=None, align_corners=False,
        loss_decode=_base_.loss_decode))

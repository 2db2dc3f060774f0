# FCN head (docs/methods/leopart.md §9): two 3x3 convolutions on the frozen last map, resized to 100 x 100 in training
# and to the image's size in evaluation, where the masks are.
_base_ = './_vit_decoder.py'
model = dict(
    backbone=dict(frozen_stages=_base_.depth),
    neck=dict(type='leopart_mm.FeatureToSize', size=(100, 100), eval_size=(448, 448)),
    decode_head=dict(
        type='FCNHead', num_convs=2, kernel_size=3, concat_input=True, in_channels=_base_.embed_dims, channels=512,
        in_index=0, num_classes=_base_.num_classes, dropout_ratio=0.1, norm_cfg=None, align_corners=False,
        loss_decode=_base_.loss_decode))

# Linear probe (docs/methods/leopart.md §9): a 1x1 convolution on the frozen last map, resized to 100 x 100 in training.
checkpoint = 'checkpoints/leopart_vits16.ckpt'
data_preprocessor = dict(
    type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
    pad_val=0, seg_pad_val=255, size=(448, 448), test_cfg=dict(size_divisor=16))
model = dict(
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    backbone=dict(type='leopart_mm.DenseViT', arch='vit_small_patch16_224', checkpoint=checkpoint, frozen_stages=12),
    # In evaluation the logits are resized instead of the features: the same for a 1x1 convolution.
    neck=dict(type='leopart_mm.FeatureToSize', size=(100, 100)),
    decode_head=dict(
        type='FCNHead', num_convs=0, concat_input=False, in_channels=384, channels=384, in_index=0, num_classes=21,
        dropout_ratio=0., norm_cfg=None, align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))

# SETR-PUP: progressive upsampling of the last map, with auxiliary heads on three earlier blocks.
checkpoint = 'checkpoints/leopart_vits16.ckpt'
data_preprocessor = dict(
    type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
    pad_val=0, seg_pad_val=255, size=(448, 448), test_cfg=dict(size_divisor=16))
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    backbone=dict(type='leopart_mm.DenseViT', arch='vit_small_patch16_224', checkpoint=checkpoint,
                  out_indices=(4, 7, 9, 11), drop_path_rate=0.1),
    decode_head=dict(
        type='SETRUPHead', in_channels=384, channels=256, in_index=3, num_classes=21, dropout_ratio=0,
        norm_cfg=norm_cfg, num_convs=4, up_scale=2, kernel_size=3, align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0)),
    auxiliary_head=[
        dict(type='SETRUPHead', in_channels=384, channels=256, in_index=index, num_classes=21, dropout_ratio=0,
             norm_cfg=norm_cfg, num_convs=1, up_scale=4, kernel_size=3, align_corners=False,
             loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=0.4)) for index in range(3)
    ],
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))

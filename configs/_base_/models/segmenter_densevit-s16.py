# Segmenter: a mask transformer of two layers on the last map.
checkpoint = 'checkpoints/leopart_vits16.ckpt'
data_preprocessor = dict(
    type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
    pad_val=0, seg_pad_val=255, size=(448, 448), test_cfg=dict(size_divisor=16))
model = dict(
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    backbone=dict(type='leopart_mm.DenseViT', arch='vit_small_patch16_224', checkpoint=checkpoint,
                  out_indices=(11, ), drop_path_rate=0.1),
    decode_head=dict(
        type='SegmenterMaskTransformerHead', in_channels=384, channels=384, in_index=0, num_classes=21, num_layers=2,
        num_heads=6, embed_dims=384, dropout_ratio=0.0,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))

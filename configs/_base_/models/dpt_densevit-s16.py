# DPT over four blocks of a ViT. DenseViT gives maps without class tokens, so the readout is "ignore"; MeanReadout
# only brings the maps into the pairs that DPTHead takes (with readout_type='project' it reads the mean of the patches).
checkpoint = 'checkpoints/leopart_vits16.ckpt'
data_preprocessor = dict(
    type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
    pad_val=0, seg_pad_val=255, size=(448, 448), test_cfg=dict(size_divisor=16))
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    backbone=dict(type='leopart_mm.DenseViT', arch='vit_small_patch16_224', checkpoint=checkpoint,
                  out_indices=(2, 5, 8, 11), drop_path_rate=0.1),
    neck=dict(type='leopart_mm.MeanReadout'),
    decode_head=dict(
        type='DPTHead', in_channels=(384, 384, 384, 384), channels=256, embed_dims=384,
        post_process_channels=[96, 192, 384, 768], num_classes=21, readout_type='ignore',
        input_transform='multiple_select', in_index=(0, 1, 2, 3), norm_cfg=norm_cfg,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))

# A ViT under mmsegmentation's decoders: what all of them share. `backbone=...` (see network.py) also sets the widths,
# the depth and the patch size.
_base_ = '../network.py'
embed_dims = 384
depth = 12
patch_size = 16
checkpoint = 'checkpoints/leopart_vits16.ckpt'
num_classes = 21
norm_cfg = dict(type='BN', requires_grad=True)
loss_decode = dict(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=_base_.mean, std=_base_.std, bgr_to_rgb=True, pad_val=0, seg_pad_val=255,
        size=(448, 448), test_cfg=dict(size_divisor=patch_size)),
    backbone=dict(type='leopart_mm.DenseViT', arch=_base_.arch, checkpoint=checkpoint, pos_interp=_base_.pos_interp),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))

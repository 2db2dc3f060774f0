# UPerNet over four blocks of a ViT, brought to strides 4 to 32.
_base_ = './_vit_decoder.py'
model = dict(
    backbone=dict(out_indices=[_base_.depth * part // 4 - 1 for part in (1, 2, 3, 4)], drop_path_rate=0.1),
    neck=dict(type='MultiLevelNeck', in_channels=[_base_.embed_dims] * 4, out_channels=_base_.embed_dims,
              scales=[4, 2, 1, 0.5]),
    decode_head=dict(
        type='UPerHead', in_channels=[_base_.embed_dims] * 4, in_index=[0, 1, 2, 3], pool_scales=(1, 2, 3, 6),
        channels=512, dropout_ratio=0.1, num_classes=_base_.num_classes, norm_cfg=_base_.norm_cfg, align_corners=False,
        loss_decode=_base_.loss_decode),
    auxiliary_head=dict(
        type='FCNHead', in_channels=_base_.embed_dims, in_index=2, channels=256, num_convs=1, concat_input=False,
        dropout_ratio=0.1, num_classes=_base_.num_classes, norm_cfg=_base_.norm_cfg, align_corners=False,
        loss_decode=dict(_base_.loss_decode, loss_weight=0.4)))

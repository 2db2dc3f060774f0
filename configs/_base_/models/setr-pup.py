# SETR-PUP: progressive upsampling of the last map, with auxiliary heads on three earlier blocks.
_base_ = './_vit_decoder.py'
model = dict(
    backbone=dict(out_indices=[_base_.depth * part // 12 - 1 for part in (5, 8, 10, 12)], drop_path_rate=0.1),
    decode_head=dict(
        type='SETRUPHead', in_channels=_base_.embed_dims, channels=256, in_index=3, num_classes=_base_.num_classes,
        dropout_ratio=0, norm_cfg=_base_.norm_cfg, num_convs=4, up_scale=2, kernel_size=3, align_corners=False,
        loss_decode=_base_.loss_decode),
    auxiliary_head=[
        dict(type='SETRUPHead', in_channels=_base_.embed_dims, channels=256, in_index=index,
             num_classes=_base_.num_classes, dropout_ratio=0, norm_cfg=_base_.norm_cfg, num_convs=1, up_scale=4,
             kernel_size=3, align_corners=False, loss_decode=dict(_base_.loss_decode, loss_weight=0.4))
        for index in range(3)
    ])

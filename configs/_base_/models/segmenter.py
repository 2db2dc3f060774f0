# Segmenter: a mask transformer of two layers on the last map.
_base_ = './_vit_decoder.py'
model = dict(
    backbone=dict(out_indices=[_base_.depth - 1], drop_path_rate=0.1),
    decode_head=dict(
        type='SegmenterMaskTransformerHead', in_channels=_base_.embed_dims, channels=_base_.embed_dims, in_index=0,
        num_classes=_base_.num_classes, num_layers=2, num_heads=_base_.embed_dims // 64, embed_dims=_base_.embed_dims,
        dropout_ratio=0.0, loss_decode=_base_.loss_decode))

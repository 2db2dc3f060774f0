# DPT over four blocks of a ViT. DenseViT gives maps without class tokens, so the readout is "ignore"; MeanReadout only
# brings the maps into the pairs that DPTHead takes (with readout_type='project' it reads the mean of the patches).
_base_ = './_vit_decoder.py'
model = dict(
    backbone=dict(out_indices=[_base_.depth * part // 4 - 1 for part in (1, 2, 3, 4)], drop_path_rate=0.1),
    neck=dict(type='leopart_mm.MeanReadout'),
    decode_head=dict(
        type='DPTHead', in_channels=[_base_.embed_dims] * 4, channels=256, embed_dims=_base_.embed_dims,
        post_process_channels=[_base_.embed_dims * part // 4 for part in (1, 2, 4, 8)], num_classes=_base_.num_classes,
        readout_type='ignore', input_transform='multiple_select', in_index=(0, 1, 2, 3), norm_cfg=_base_.norm_cfg,
        loss_decode=_base_.loss_decode))

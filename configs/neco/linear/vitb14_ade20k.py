# Linear segmentation on frozen ViT-B/14 features, ADE20K: 150 classes, label 0 ignored. Published as a mean
# over 151 classes of which one cannot occur; here it is left out (count_ignored=True in the metrics counts it).
_base_ = [
    '../../_base_/models/linear.py', '../../_base_/datasets/ade20k_probe448.py',
    '../../_base_/schedules/probe_25e_batch128.py', '../../_base_/probe_runtime.py',
]
arch = 'vit_base_patch14_dinov2'
embed_dims = 768
patch_size = 14
num_classes = 151
model = dict(
    data_preprocessor=dict(seg_pad_val=0, test_cfg=dict(size_divisor=patch_size)),
    backbone=dict(arch=arch),
    decode_head=dict(in_channels=embed_dims, channels=embed_dims, num_classes=num_classes, ignore_index=0))
train_dataloader = dict(batch_size=128)

# Linear segmentation on frozen ViT-S/16 features, Pascal VOC (see vits14_voc.py).
_base_ = [
    '../../_base_/models/linear.py', '../../_base_/datasets/voc_aug_probe448.py',
    '../../_base_/schedules/probe_25e_batch128.py', '../../_base_/probe_runtime.py',
]
train_dataloader = dict(batch_size=128)

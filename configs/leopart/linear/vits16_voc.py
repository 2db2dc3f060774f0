# Linear segmentation on frozen ViT-S/16 features, Pascal VOC.
_base_ = [
    '../../_base_/models/linear.py', '../../_base_/datasets/voc_aug_probe448.py',
    '../../_base_/schedules/probe_25e.py', '../../_base_/probe_runtime.py',
]

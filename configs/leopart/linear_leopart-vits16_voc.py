# Linear segmentation on frozen Leopart ViT-S/16 features, Pascal VOC. Published: 69.3 mIoU (paper).
_base_ = [
    '../_base_/models/linear_densevit-s16.py', '../_base_/datasets/voc_aug_probe448.py',
    '../_base_/schedules/probe_25e.py', '../_base_/probe_runtime.py'
]

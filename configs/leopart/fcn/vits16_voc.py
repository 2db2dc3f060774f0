# FCN head on frozen ViT-S/16 features, Pascal VOC.
_base_ = [
    '../../_base_/models/fcn.py', '../../_base_/datasets/voc_aug_probe448.py', '../../_base_/schedules/probe_25e.py',
    '../../_base_/probe_runtime.py',
]
val_dataloader = dict(batch_size=1)  # 1280 channels at 448 x 448
test_dataloader = val_dataloader

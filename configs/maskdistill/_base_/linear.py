# Linear probe of a trained DeepLab (docs/methods/maskdistill.md §10): a new 1x1 classifier on the frozen network,
# with the true labels of trainaug; 60 epochs, a tenth of the rate after 26. checkpoint=FILE names the DeepLab.
_base_ = './deeplab.py'
checkpoint = 'work_dirs/maskdistill/voc/deeplab/epoch_45.pth'
load_from = checkpoint
data_root = 'data/VOCdevkit/VOC2012'
train_split = 'trainaug'  # plain VOC 2012: train_split=train train_masks=SegmentationClass
train_masks = 'SegmentationClassAug'
epochs = 60
steps = [epochs * 26 // 60]
val_interval = 5
lr = 0.1
model = dict(
    backbone=dict(checkpoint=None, frozen_stages=4, norm_eval=True),
    decode_head=dict(
        frozen=True,
        loss_decode=dict(_delete_=True, type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0)))
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='leopart_mm.VOCLayoutDataset', data_root=data_root, split=train_split,
        data_prefix=dict(seg_map_path=train_masks), pipeline=_base_.train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [dict(type='MultiStepLR', milestones=steps, gamma=0.1, by_epoch=True)]
train_cfg = dict(max_epochs=epochs, val_interval=val_interval)
custom_hooks = [
    dict(type='leopart_mm.StepSeedHook'),
    dict(type='leopart_mm.HealthHook'),
    dict(type='leopart_mm.FreshClassifierHook'),
]

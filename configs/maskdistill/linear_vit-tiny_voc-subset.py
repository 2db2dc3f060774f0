# Linear probe of deeplab_vit-tiny_voc-subset.py (docs/methods/maskdistill.md §10) on the true labels of the 180
# training images, at 256 pixels, 15 epochs of batches of 8. Ours, not published.
#   python tools/train.py THIS_FILE --cfg-options data_root=VOC2012 checkpoint=DEEPLAB.pth
_base_ = './deeplab_vit-tiny_voc-subset.py'
checkpoint = 'work_dirs/maskdistill/voc-subset/deeplab/epoch_15.pth'
load_from = checkpoint
data_root = 'data/VOCdevkit/VOC2012'
train_split = 'train'
train_masks = 'SegmentationClass'
depth = 12
epochs = 15
steps = [epochs * 26 // 60]
val_interval = epochs
lr = 0.1
model = dict(
    backbone=dict(checkpoint=None, frozen_stages=depth),
    decode_head=dict(
        frozen=True,
        loss_decode=dict(_delete_=True, type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0)))
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='leopart_mm.VOCLayoutDataset', data_root=data_root, split=train_split,
        data_prefix=dict(seg_map_path=train_masks), pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=lr, momentum=0.9, weight_decay=1e-4))
param_scheduler = [dict(type='MultiStepLR', milestones=steps, gamma=0.1, by_epoch=True)]
train_cfg = dict(max_epochs=epochs, val_interval=val_interval)
custom_hooks = [
    dict(type='leopart_mm.StepSeedHook'),
    dict(type='leopart_mm.HealthHook'),
    dict(type='leopart_mm.FreshClassifierHook'),
]

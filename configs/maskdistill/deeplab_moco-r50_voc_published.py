# deeplab_moco-r50_voc.py with what was published and is not our default (docs/methods/maskdistill.md §8.3 to §8.5):
# what comes from outside when an image is turned is labelled background, OHEM chooses in each process by itself, and
# the epoch that is best on the true labels of val, at 512 x 512, is kept beside the last one.
_base_ = './_base_/deeplab.py'
border = 0
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='leopart_mm.SegRandomFlip', prob=0.5),
    dict(type='leopart_mm.SegRandomAffine', rotation=5., scale=(0.75, 1.25), border=border),
    dict(type='Resize', scale=_base_.size, keep_ratio=False, interpolation='bicubic'),
    dict(type='PackSegInputs'),
]
val_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=_base_.size, keep_ratio=False, interpolation='bicubic'),  # masks too
    dict(type='leopart_mm.KeepNetworkSize'),
    dict(type='PackSegInputs'),
]
model = dict(decode_head=dict(loss_decode=dict(joint=False)))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
train_cfg = dict(val_interval=1)
default_hooks = dict(checkpoint=dict(save_best='mIoU'))

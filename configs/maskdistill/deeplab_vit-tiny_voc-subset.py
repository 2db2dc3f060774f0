# MaskDistill's DeepLab for 180 images of VOC and two CPU cores: torchvision's head with small rates on the maps of a
# supervised ViT-Ti/16, whose last blocks are trained too, at 256 pixels with AdamW. Ours, not published.
#   python tools/train.py THIS_FILE --cfg-options data_root=VOC2012 label_folder=DIR checkpoint=FILE
_base_ = './_base_/deeplab.py'
data_root = 'data/VOCdevkit/VOC2012'
label_folder = 'work_dirs/maskdistill/voc-subset/labels'
num_classes = 21  # background included
arch = 'vit_tiny_patch16_224'
pos_interp = 'timm'
mean = std = [127.5] * 3
checkpoint = 'checkpoints/vit_tiny_patch16_224_in21k_in1k_fp16.safetensors'
embed_dims = 192
patch_size = 16
epochs = 15
lr = 3e-4
batch_size = 8
num_workers = 1
size = (256, 256)
border = 255
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='leopart_mm.SegRandomFlip', prob=0.5),
    dict(type='leopart_mm.SegRandomAffine', rotation=5., scale=(0.75, 1.25), border=border),
    dict(type='Resize', scale=size, keep_ratio=False, interpolation='bicubic'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=size, keep_ratio=False, interpolation='bicubic'),
    dict(type='LoadAnnotations'),
    *([] if _base_.crf else [dict(type='leopart_mm.KeepNetworkSize')]),
    _base_.pixel_pipeline[-1],
]
model = dict(
    data_preprocessor=dict(mean=mean, std=std),
    backbone=dict(
        _delete_=True, type='leopart_mm.DenseViT', arch=arch, pos_interp=pos_interp, checkpoint=checkpoint,
        frozen_stages=8),
    decode_head=dict(in_channels=embed_dims, channels=128, rates=(2, 4, 6), num_classes=num_classes))
train_dataloader = dict(
    batch_size=batch_size, num_workers=num_workers,
    dataset=dict(data_root=data_root, labels=label_folder, num_classes=num_classes, pipeline=train_pipeline))
val_dataloader = dict(num_workers=num_workers, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=lr, weight_decay=0.05))
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0., by_epoch=True, begin=0, end=epochs, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
default_hooks = dict(logger=dict(interval=10))

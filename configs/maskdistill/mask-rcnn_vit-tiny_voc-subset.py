# MaskDistill's detector for 180 images of VOC and two CPU cores: Mask R-CNN on the maps of a supervised ViT-Ti/16,
# brought to strides 4 to 32, at 256 pixels; 400 iterations of 4 images with AdamW. Ours, not published.
#   python tools/train.py THIS_FILE --cfg-options data_root=VOC2012/JPEGImages ann_file=CLUSTERS.json checkpoint=FILE
#   python tools/test.py THIS_FILE CHECKPOINT --out DIR --cfg-options data_root=VOC2012/JPEGImages
_base_ = [
    '../_base_/models/mask-rcnn_r50.py', '../_base_/datasets/instances.py', '../_base_/schedules/detector_24k.py',
    '../_base_/detector_runtime.py'
]
data_root = 'data/VOCdevkit/VOC2012/JPEGImages'
ann_file = 'work_dirs/maskdistill/voc-subset/clusters.json'
num_classes = 20
arch = 'vit_tiny_patch16_224'
pos_interp = 'timm'
mean = std = [127.5] * 3
checkpoint = 'checkpoints/vit_tiny_patch16_224_in21k_in1k_fp16.safetensors'
embed_dims = 192
iterations = 400
lr = 2e-4
steps = [iterations * 3 // 4, iterations * 11 // 12]
batch_size = 4
num_workers = 1
short_sides = [224, 256]
test_short_side = 256
long_side = 384
channels = 64
strides = [4, 8, 16, 32]
model = dict(
    data_preprocessor=dict(mean=mean, std=std),
    backbone=dict(
        _delete_=True, type='leopart_mm.DenseViT', arch=arch, pos_interp=pos_interp, checkpoint=checkpoint,
        out_indices=(2, 5, 8, 11)),
    neck=[
        dict(type='mmseg.Feature2Pyramid', embed_dim=embed_dims, norm_cfg=dict(type='BN')),
        dict(type='FPN', in_channels=[embed_dims] * 4, out_channels=channels, num_outs=4),
    ],
    rpn_head=dict(in_channels=channels, feat_channels=channels, anchor_generator=dict(strides=strides)),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels, featmap_strides=strides),
        bbox_head=dict(in_channels=channels, fc_out_channels=256, num_classes=num_classes),
        mask_roi_extractor=dict(out_channels=channels, featmap_strides=strides),
        mask_head=dict(in_channels=channels, conv_out_channels=channels, num_classes=num_classes)),
    train_cfg=dict(rpn_proposal=dict(max_per_img=200), rcnn=dict(sampler=dict(num=64))),
    test_cfg=dict(rpn=dict(max_per_img=200)))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='leopart_mm.LoadInstances'),
    dict(type='leopart_mm.SeedFromDraw'),
    dict(type='RandomChoiceResize', scales=[(long_side, side) for side in short_sides], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(long_side, test_short_side), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=batch_size, num_workers=num_workers,
    dataset=dict(num_classes=num_classes, data_root=data_root, ann_file=ann_file, pipeline=train_pipeline))
test_dataloader = dict(
    num_workers=num_workers, dataset=dict(num_classes=num_classes, data_root=data_root, pipeline=test_pipeline))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=lr, weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=max(iterations // 10, 1)),
    dict(type='MultiStepLR', milestones=steps, gamma=0.1, by_epoch=False, begin=0, end=iterations),
]
train_cfg = dict(max_iters=iterations)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=100))

# Dense retrieval on MSRC-21 with a ViT-Ti/16: the 279 training images fill the patch memory, the 110 val images are
# scored at their own size. Images at 320 x 224 (orientation kept), 30 neighbours, every patch kept, no augmentation.
_base_ = ['../_base_/models/retrieval.py', '../_base_/evaluation_runtime.py']
data_root = 'data/msrc21'
arch = 'vit_tiny_patch16_224'
mean = std = [127.5] * 3
model = dict(
    data_preprocessor=dict(mean=mean, std=std, size_divisor=None, test_cfg=None),
    backbone=dict(arch=arch))
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='leopart_mm.ResizeOriented', scale=(320, 224)),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
test_dataloader = dict(
    batch_size=1,  # images of both orientations
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split='val', pipeline=pipeline))
fit_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split='train', pipeline=pipeline))
test_cfg = dict(type='leopart_mm.FitTestLoop', fit_dataloader=fit_dataloader)

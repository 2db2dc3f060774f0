# Dense retrieval on the sample scenes with the micro ViT: the training images fill the memory, val is scored.
_base_ = ['../_base_/models/retrieval.py', '../_base_/evaluation_runtime.py']
data_root = 'data/sample'
arch = 'vit_tiny_patch16_224'
num_classes = 7
model = dict(
    data_preprocessor=dict(size_divisor=None, test_cfg=None),
    backbone=dict(arch=arch, model_kwargs=dict(img_size=96, patch_size=8, embed_dim=96, depth=3, num_heads=3)),
    decode_head=dict(num_classes=num_classes))
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
test_dataloader = dict(
    batch_size=25,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split='val', pipeline=pipeline))
fit_dataloader = dict(
    batch_size=25,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split='train', pipeline=pipeline))
test_cfg = dict(type='leopart_mm.FitTestLoop', fit_dataloader=fit_dataloader)

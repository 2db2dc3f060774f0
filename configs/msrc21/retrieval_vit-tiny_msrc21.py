# Dense retrieval on MSRC-21 with a ViT-Ti/16: the 279 training images fill the patch memory, the 110 val images are
# scored at their own size. Images at 320 x 224 (orientation kept), 30 neighbours, every patch kept, no augmentation.
_base_ = ['../_base_/retrieval_runtime.py']
data_root = 'data/msrc21'
model = dict(
    type='leopart_mm.RetrievalSegmentor',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True, pad_val=0,
                           seg_pad_val=255),
    backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224'),
    decode_head=dict(type='leopart_mm.RetrievalHead', num_classes=21))
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

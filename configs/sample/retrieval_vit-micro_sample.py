# Dense retrieval on the sample scenes with the micro ViT: the training images fill the memory, val is scored.
_base_ = ['../_base_/retrieval_runtime.py']
data_root = 'data/sample'
model = dict(
    type='leopart_mm.RetrievalSegmentor',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                           bgr_to_rgb=True, pad_val=0, seg_pad_val=255),
    backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224',
                  model_kwargs=dict(img_size=96, patch_size=8, embed_dim=96, depth=3, num_heads=3)),
    decode_head=dict(type='leopart_mm.RetrievalHead', num_classes=7))
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

# Overclustering of the 110 MSRC-21 val images with a ViT-Ti/16: 320 x 224 (orientation kept), standardised, PCA 50, three
# k-means seeds, masks at their own size, each cluster to the class it is most precise for.
_base_ = ['../_base_/overcluster_runtime.py']
data_root = 'data/msrc21'
model = dict(
    type='leopart_mm.UnsupervisedSegmentor',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True, pad_val=0,
                           seg_pad_val=255),
    backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224'),
    decode_head=dict(type='leopart_mm.OverclusterHead', num_clusters=100, seeds=3))
test_dataloader = dict(
    batch_size=1,  # images of both orientations
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='leopart_mm.VOCLayoutDataset', data_root=data_root, split='val',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='leopart_mm.ResizeOriented', scale=(320, 224)),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ]))
test_evaluator = dict(eval_size=None)

# Overclustering of the 110 MSRC-21 val images with a ViT-Ti/16: 320 x 224 (orientation kept), standardised, PCA 50,
# three k-means seeds, masks at their own size, each cluster to the class it is most precise for.
_base_ = ['../_base_/models/overcluster.py', '../_base_/evaluation_runtime.py']
data_root = 'data/msrc21'
arch = 'vit_tiny_patch16_224'
mean = std = [127.5] * 3
num_clusters = 100
model = dict(
    data_preprocessor=dict(mean=mean, std=std, size_divisor=None, test_cfg=None),
    backbone=dict(arch=arch),
    decode_head=dict(num_clusters=num_clusters, seeds=3))
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

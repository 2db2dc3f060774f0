# Overclustering of the sample's val images with the micro ViT: K = 50, each cluster to the class it is most precise
# for, masks at their own size, three k-means seeds. `make demo` runs it before and after fine-tuning.
_base_ = ['../_base_/models/overcluster.py', '../_base_/evaluation_runtime.py']
data_root = 'data/sample'
arch = 'vit_tiny_patch16_224'
num_clusters = 50
model = dict(
    data_preprocessor=dict(size_divisor=None, test_cfg=None),
    backbone=dict(arch=arch, model_kwargs=dict(img_size=96, patch_size=8, embed_dim=96, depth=3, num_heads=3)),
    decode_head=dict(num_clusters=num_clusters, seeds=3))
test_dataloader = dict(
    batch_size=25,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='leopart_mm.VOCLayoutDataset', data_root=data_root, split='val',
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]))
test_evaluator = dict(eval_size=None)

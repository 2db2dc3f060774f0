# The unsupervised chain on the sample scenes with the micro ViT, as `make demo` runs it: fitted on train and val, scored
# on val. Fewer clusters than for photographs: the scenes have six kinds of objects with two or three parts.
_base_ = '../leopart/_base_/fully_unsup.py'
data_root = 'data/sample'
image_size = (192, 192)  # larger than the scenes, for finer outlines
arch = 'vit_tiny_patch16_224'
model = dict(
    backbone=dict(arch=arch, model_kwargs=dict(img_size=96, patch_size=8, embed_dim=96, depth=3, num_heads=3)),
    decode_head=dict(num_clusters=100),
    postprocessors=dict(
        # the attention of so small a network tells nothing of objects; these masks cover them well, hence 'agreement'
        foreground=dict(threshold='agreement', masks=dict(_delete_=True, type='leopart_mm.BorderContrastMasks')),
        clusters=dict(num_clusters=30),
        communities=dict(weight_threshold=0.02, markov_time=0.5, preferred_modules=6, background_cluster='last')))
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=image_size, keep_ratio=False),
    dict(type='PackSegInputs', meta_keys=('img_path', 'seg_map_path', 'ori_shape', 'img_shape', 'pad_shape',
                                          'scale_factor', 'split')),
]
test_dataloader = dict(dataset=dict(data_root=data_root, pipeline=pipeline))
test_cfg = dict(fit_dataloader=dict(dataset=dict(data_root=data_root, pipeline=pipeline)))

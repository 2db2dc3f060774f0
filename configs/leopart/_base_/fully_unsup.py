# Fully unsupervised segmentation: features -> clusters -> foreground -> foreground clusters -> communities, all fitted
# inside tools/test.py on the images of train and val together (transductive, as published), scored on val.
# Everything here is label-free; ground truth is read by the metric alone.
_base_ = ['../../_base_/network.py', '../../_base_/evaluation_runtime.py']
data_root = 'data/VOCdevkit/VOC2012'
image_size = (448, 448)
mask_size = (100, 100)  # where clusters, masks and ground truth are compared
model = dict(
    type='leopart_mm.UnsupervisedSegmentor',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=_base_.mean, std=_base_.std, bgr_to_rgb=True, pad_val=0, seg_pad_val=255,
        size_divisor=1, test_cfg=dict(size_divisor=1)),
    backbone=dict(type='leopart_mm.DenseViT', arch=_base_.arch, pos_interp=_base_.pos_interp),
    decode_head=dict(type='leopart_mm.OverclusterHead', num_clusters=200, seeds=1, spherical=True),
    stage_order=['foreground', 'clusters', 'communities'],
    postprocessors=dict(
        foreground=dict(
            type='leopart_mm.CBFE', masks=dict(type='leopart_mm.AttentionMasks', mass=0.65), map_size=mask_size),
        clusters=dict(type='leopart_mm.ForegroundClustering', num_clusters=149, map_size=mask_size),
        communities=dict(
            type='leopart_mm.CommunityDetection', weight_threshold=0.09, markov_time=2., preferred_modules=20, seeds=10,
            map_size=mask_size)))

# Masks are resized with the images (nearest), then to mask_size by the metric: the published two steps.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=image_size, keep_ratio=False),
    dict(type='PackSegInputs', meta_keys=('img_path', 'seg_map_path', 'ori_shape', 'img_shape', 'pad_shape',
                                          'scale_factor', 'split')),
]
dataset = dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split='val', pipeline=test_pipeline,
               test_mode=True)
test_dataloader = dict(
    batch_size=16, num_workers=2, sampler=dict(type='DefaultSampler', shuffle=False, round_up=False), dataset=dataset)
fit_dataloader = dict(
    batch_size=16, num_workers=2, sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split=('train', 'val'),
                 pipeline=test_pipeline, test_mode=True))
# Each image goes through the network once: features wait in memory or on disk, see FitTestLoop's `cache`.
test_cfg = dict(type='leopart_mm.FitTestLoop', fit_dataloader=fit_dataloader)
test_evaluator = dict(type='leopart_mm.ClusterMetric', matching='hungarian', eval_size=mask_size)

default_hooks = dict(visualization=dict(_delete_=True, type='leopart_mm.StagePicturesHook'))

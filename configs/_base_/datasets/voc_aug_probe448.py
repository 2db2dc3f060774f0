# Pascal VOC trainaug / val at 448 x 448 with masks of 100 x 100 in training (docs/methods/leopart.md §9). trainaug's
# masks are in SegmentationClassAug. Evaluated at 448 x 448, aspect ignored, without any matching.
data_root = 'data/VOCdevkit/VOC2012'
train_split = 'trainaug'  # plain VOC 2012: train_split=train train_masks=SegmentationClass
train_masks = 'SegmentationClassAug'
dataset_type = 'leopart_mm.VOCLayoutDataset'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='leopart_mm.SegRandomResizedCrop', size=448, scale=(0.8, 1.)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='leopart_mm.ResizeSegMap', size=(100, 100)),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=(448, 448), keep_ratio=False),
    dict(type='leopart_mm.KeepNetworkSize'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=60,  # in total: 30 on each of 2 GPUs
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type=dataset_type, data_root=data_root, split=train_split,
                 data_prefix=dict(seg_map_path=train_masks), pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, split='val', pipeline=test_pipeline, test_mode=True))
test_dataloader = val_dataloader
val_evaluator = dict(type='leopart_mm.ClusterMetric', matching='direct')
test_evaluator = val_evaluator

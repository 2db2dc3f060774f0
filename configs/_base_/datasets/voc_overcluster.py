# Pascal VOC val: 21 classes, all 1,449 images (published: the 1,440 of 24 full batches). Images and masks resized to
# 448 x 448, aspect ignored (docs/methods/leopart.md §8); the metric then takes both to 100 x 100.
data_root = 'data/VOCdevkit/VOC2012'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=(448, 448), keep_ratio=False),
    dict(type='PackSegInputs'),
]
test_dataloader = dict(
    batch_size=60,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='leopart_mm.VOCLayoutDataset', split='val', data_root=data_root, pipeline=test_pipeline,
                 test_mode=True))

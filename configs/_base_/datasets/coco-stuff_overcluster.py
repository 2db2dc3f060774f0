# COCO-Stuff val2017: 15 super-categories of stuff; masks by tools/dataset_converters/coco_stuff15.py.
# Images and masks resized to 448 x 448, aspect ignored (Leopart, sec. 8); the metric then takes both to 100 x 100.
data_root = 'data/coco'
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
    dataset=dict(type='leopart_mm.COCOStuff15', split='val2017', data_root=data_root, pipeline=test_pipeline,
                 test_mode=True))

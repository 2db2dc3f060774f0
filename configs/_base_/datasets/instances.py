# Images with instances of a COCO JSON: train on `ann_file`, predict on the images of `test_ann_file` ('': on all images
# of the folder). Short side 480 to 800 pixels in training, 800 in test, long side at most 1333: ours, not published.
data_root = 'data/images'
ann_file = 'work_dirs/maskdistill/clusters.json'
test_ann_file = ''
short_sides = [480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800]
test_short_side = 800
long_side = 1333
batch_size = 16  # of all processes together: --cfg-options batch_size=8 for each of 2 GPUs
num_workers = 4
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='leopart_mm.LoadInstances'),
    dict(type='leopart_mm.SeedFromDraw'),
    dict(type='RandomChoiceResize', scales=[(long_side, side) for side in short_sides], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(long_side, test_short_side), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type='leopart_mm.InfiniteDrawSampler'),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(type='leopart_mm.CocoInstances', data_root=data_root, ann_file=ann_file, pipeline=train_pipeline))
test_dataloader = dict(
    batch_size=1,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(type='leopart_mm.CocoInstances', data_root=data_root, ann_file=test_ann_file, test_mode=True,
                 pipeline=test_pipeline))
test_evaluator = dict(type='leopart_mm.InstanceResultsWriter')

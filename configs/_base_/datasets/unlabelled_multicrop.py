# A folder of images, cut into 2 global and 4 local crops with known overlaps (docs/methods/leopart.md §2).
data_root = 'data/images'
train_pipeline = [
    dict(type='leopart_mm.LoadImage'),
    dict(type='leopart_mm.RoIAlignedMultiCrop', num_crops=(2, 4), sizes=(224, 96), scales=((0.25, 1.), (0.05, 0.25)),
         min_overlap=0.01),
    dict(type='leopart_mm.DrawPhotometric', jitter=1., blur=1.),
    dict(type='leopart_mm.PackMultiCrop'),
]
train_dataloader = dict(
    batch_size=32,  # a GPU
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='leopart_mm.DrawSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='leopart_mm.UnlabelledImages', data_root=data_root, pipeline=train_pipeline))

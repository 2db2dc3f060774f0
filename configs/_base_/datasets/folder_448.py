# All images of a folder and below it at 448 x 448, aspect ignored: no lists, masks and scores. What is fitted reads at
# most `fit_images` of them, a random choice, so that a large folder takes no longer to be fitted on.
data_root = 'data/images'
image_size = (448, 448)
fit_images = 2000
pipeline = [
    dict(type='leopart_mm.LoadImage'),
    dict(type='Resize', scale=image_size, keep_ratio=False),
    dict(type='PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor')),
]
test_dataloader = dict(
    batch_size=16, num_workers=2, sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type='leopart_mm.UnlabelledImages', data_root=data_root, pipeline=pipeline))
fit_dataloader = dict(
    batch_size=16, num_workers=2, sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type='leopart_mm.UnlabelledImages', data_root=data_root, num_samples=fit_images, subset_seed=0,
                 pipeline=pipeline))

# A folder of images, cut into 2 global and 4 local crops with known overlaps (docs/methods/leopart.md §2).
data_root = 'data/images'
crop_sizes = (224, 96)  # of global and local crops, in pixels
# Whether the model's device cuts the crops of a batch, and workers only decode images and draw boxes: docs/speed.md.
device_crops = False
# With device_crops: whether the device decodes JPEG files, too; on CUDA by nvJPEG. Without image_cache.
device_decode = False
# A folder for decoded images whose shorter side is 1.14 times the largest crop, where decoding is slow; None: no such.
image_cache = None
load_image = dict(
    type='leopart_mm.LoadImage', cache=image_cache, cache_side=round(1.14 * max(crop_sizes)), device_decode=device_decode)
crops = dict(
    type='leopart_mm.RoIAlignedMultiCrop', num_crops=(2, 4), sizes=crop_sizes, scales=((0.25, 1.), (0.05, 0.25)),
    min_overlap=0.01, device_crops=device_crops)
colours = dict(type='leopart_mm.DrawPhotometric', jitter=1., blur=1.)
pack = dict(type='leopart_mm.PackMultiCrop')
train_pipeline = [load_image, crops, colours, pack]
train_dataloader = dict(
    batch_size=32,  # per GPU
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='leopart_mm.DrawSampler', shuffle=True),
    collate_fn=dict(type='leopart_mm.multi_crop_collate'),
    dataset=dict(type='leopart_mm.UnlabelledImages', data_root=data_root, pipeline=train_pipeline))

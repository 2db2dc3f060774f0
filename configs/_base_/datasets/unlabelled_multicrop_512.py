# A folder of images, cut into 2 global crops of 512 and 4 local crops of 96 pixels: whole patches of 16.
_base_ = './unlabelled_multicrop.py'
crop_sizes = (512, 96)
load_image = dict(_base_.load_image, cache_side=round(1.14 * max(crop_sizes)))
train_pipeline = [load_image, dict(_base_.crops, sizes=crop_sizes), _base_.colours, _base_.pack]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))

# A folder of images, cut into 2 global crops of 224 and 4 local crops of 98 pixels (docs/methods/neco.md §2).
_base_ = './unlabelled_multicrop.py'
crop_sizes = (224, 98)
train_pipeline = [_base_.load_image, dict(_base_.crops, sizes=crop_sizes), _base_.colours, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

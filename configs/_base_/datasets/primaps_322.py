# As primaps_320.py for patches of 14.
_base_ = './primaps_320.py'
size = 322  # 23 patches of 14
val_resize = 'float'
resize = dict(_base_.resize, size=size)
crop = dict(_base_.crop, size=size)
proposal_pipeline = [_base_.load_image, resize, crop, _base_.pack]
kmeans_pipeline = [_base_.load_image, _base_.load_labels, resize, crop, _base_.pack]
train_pipeline = [
    _base_.load_image, _base_.load_labels, resize, crop, _base_.load_proposals, _base_.flip, _base_.draw,
    _base_.pack_proposals
]
test_pipeline = [
    _base_.load_image, _base_.load_labels, dict(resize, method=val_resize), crop, _base_.keep_size, _base_.pack
]
proposal_dataloader = dict(dataset=dict(pipeline=proposal_pipeline))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_dataloader = test_dataloader

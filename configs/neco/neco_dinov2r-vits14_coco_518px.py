# Published example neco_518x518: as neco_dinov2r-vits14_coco_224px.py with crops of 518 and 98. It states no number.
_base_ = './neco_dinov2r-vits14_coco_224px.py'
crop_sizes = (518, 98)
load_image = dict(_base_.load_image, cache_side=round(1.14 * max(crop_sizes)))
train_pipeline = [load_image, dict(_base_.crops, sizes=crop_sizes), _base_.colours, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

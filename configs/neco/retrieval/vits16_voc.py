# Dense retrieval on Pascal VOC, ViT-S/16, at 512 x 512.
_base_ = [
    '../../_base_/models/retrieval.py', '../../_base_/datasets/voc_retrieval.py',
    '../../_base_/evaluation_runtime.py',
]
arch = 'vit_small_patch16_224'
model = dict(backbone=dict(arch=arch))
side = 512  # 32 patches of 16
crop = dict(_base_.crop, size=side)
resize = dict(_base_.resize, scale=(side, side))
resize_labels = dict(_base_.resize_labels, size=(side, side))
fit_pipeline = [_base_.load_image, _base_.load_labels, _base_.jitter, crop, _base_.pack]
test_pipeline = [_base_.load_image, resize, _base_.load_labels, resize_labels, _base_.keep_size, _base_.pack]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_cfg = dict(fit_dataloader=dict(dataset=dict(pipeline=fit_pipeline)))

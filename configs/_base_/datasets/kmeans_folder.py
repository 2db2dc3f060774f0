# Batch-wise k-means, PriMaPs-EM's initialisation and baseline (docs/methods/primaps.md §7), on the images of
# primaps_folder.py: no proposals and no augmentation.
_base_ = './primaps_folder.py'
train_pipeline = [_base_.load_image, _base_.resize, _base_.crop, _base_.pack]
proposal_dataloader = None
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# Batch-wise k-means, PriMaPs-EM's initialisation and baseline (docs/methods/primaps.md §7), on the images of
# coco-stuff27_primaps.py: no proposals and no augmentation.
_base_ = './primaps_320.py'
data_root = 'data/coco'
train_set = dict(type='leopart_mm.COCOStuff27', data_root=data_root, split='train2017')
test_set = dict(type='leopart_mm.COCOStuff27', data_root=data_root, split='val2017')
proposal_dataloader = None
train_dataloader = dict(dataset=dict(train_set, pipeline=_base_.kmeans_pipeline))
test_dataloader = dict(dataset=test_set)
val_dataloader = test_dataloader

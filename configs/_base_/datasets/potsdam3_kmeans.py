# Batch-wise k-means, PriMaPs-EM's initialisation and baseline (docs/methods/primaps.md §7), on the images of
# potsdam3_primaps.py: no proposals and no augmentation.
_base_ = './primaps_320.py'
data_root = 'data/potsdam3'
train_set = dict(type='leopart_mm.Potsdam3', data_root=data_root, split='labelled_train')
test_set = dict(type='leopart_mm.Potsdam3', data_root=data_root, split='labelled_test')
proposal_dataloader = None
train_dataloader = dict(dataset=dict(train_set, pipeline=_base_.kmeans_pipeline))
test_dataloader = dict(dataset=test_set)
val_dataloader = test_dataloader

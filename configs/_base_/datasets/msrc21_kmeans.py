# Batch-wise k-means, PriMaPs-EM's initialisation and baseline (docs/methods/primaps.md §7), on the images of
# msrc21_primaps.py: no proposals and no augmentation.
_base_ = './primaps_320.py'
data_root = 'data/msrc21'
train_set = dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split='train')
test_set = dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split='val')
proposal_dataloader = None
train_dataloader = dict(batch_size=16, num_workers=1, dataset=dict(train_set, pipeline=_base_.kmeans_pipeline))
test_dataloader = dict(num_workers=1, dataset=test_set)
val_dataloader = test_dataloader

# Batch-wise k-means, PriMaPs-EM's initialisation and baseline (docs/methods/primaps.md §7), on the images of
# voc_primaps.py: no proposals and no augmentation.
_base_ = './primaps_320.py'
data_root = 'data/VOCdevkit/VOC2012'
train_split = 'trainaug'  # plain VOC 2012: train_split=train train_masks=SegmentationClass
train_masks = 'SegmentationClassAug'
train_set = dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split=train_split,
                 data_prefix=dict(seg_map_path=train_masks))
test_set = dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split='val')
proposal_dataloader = None
train_dataloader = dict(dataset=dict(train_set, pipeline=_base_.kmeans_pipeline))
test_dataloader = dict(dataset=test_set)
val_dataloader = test_dataloader

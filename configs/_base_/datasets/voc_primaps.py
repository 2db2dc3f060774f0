# PriMaPs-EM on Pascal VOC: trainaug (10,582 images) for training, 1,449 of val for tests.
_base_ = './primaps_320.py'
data_root = 'data/VOCdevkit/VOC2012'
train_split = 'trainaug'  # plain VOC 2012: train_split=train train_masks=SegmentationClass
train_masks = 'SegmentationClassAug'
train_set = dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split=train_split,
                 data_prefix=dict(seg_map_path=train_masks))
test_set = dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split='val')
proposal_dataloader = dict(dataset=train_set)
train_dataloader = dict(dataset=train_set)
test_dataloader = dict(dataset=test_set)
val_dataloader = test_dataloader

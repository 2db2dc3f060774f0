# PriMaPs-EM on MSRC-21 (VOC layout): 279 images for training, 110 for tests, for two CPU cores.
_base_ = './primaps_320.py'
data_root = 'data/msrc21'
train_set = dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split='train')
test_set = dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split='val')
proposal_dataloader = dict(batch_size=16, num_workers=1, dataset=train_set)
train_dataloader = dict(batch_size=16, num_workers=1, dataset=train_set)
test_dataloader = dict(num_workers=1, dataset=test_set)
val_dataloader = test_dataloader

# PriMaPs-EM on Cityscapes with 27 classes: 2,975 images for training, 500 for tests; masks by
# tools/dataset_converters/cityscapes27.py.
_base_ = './primaps_320.py'
data_root = 'data/cityscapes'
train_set = dict(type='leopart_mm.Cityscapes27', data_root=data_root, split='train')
test_set = dict(type='leopart_mm.Cityscapes27', data_root=data_root, split='val')
proposal_dataloader = dict(dataset=train_set)
train_dataloader = dict(dataset=train_set)
test_dataloader = dict(dataset=test_set)
val_dataloader = test_dataloader

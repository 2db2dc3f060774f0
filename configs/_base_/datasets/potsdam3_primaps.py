# PriMaPs-EM on Potsdam with 3 classes: 4,545 crops of 200 x 200 for training, 855 for tests; made by
# tools/dataset_converters/potsdam3.py.
_base_ = './primaps_320.py'
data_root = 'data/potsdam3'
train_set = dict(type='leopart_mm.Potsdam3', data_root=data_root, split='labelled_train')
test_set = dict(type='leopart_mm.Potsdam3', data_root=data_root, split='labelled_test')
proposal_dataloader = dict(dataset=train_set)
train_dataloader = dict(dataset=train_set)
test_dataloader = dict(dataset=test_set)
val_dataloader = test_dataloader

# PriMaPs-EM on COCO-Stuff with 27 classes on the curated lists: 49,629 images of train2017, 2,175 of val2017; masks by
# tools/dataset_converters/coco_stuff27.py.
_base_ = './primaps_322.py'
data_root = 'data/coco'
train_set = dict(type='leopart_mm.COCOStuff27', data_root=data_root, split='train2017')
test_set = dict(type='leopart_mm.COCOStuff27', data_root=data_root, split='val2017')
proposal_dataloader = dict(dataset=train_set)
train_dataloader = dict(dataset=train_set)
test_dataloader = dict(dataset=test_set)
val_dataloader = test_dataloader

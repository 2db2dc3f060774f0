# The data of NeCo's ablations: COCO train2017, crops of 224 and 98, batches of 55.
_base_ = '../../_base_/datasets/unlabelled_multicrop_224-98.py'
data_root = 'data/coco/images/train2017'
train_dataloader = dict(batch_size=55, dataset=dict(data_root=data_root))

# NeCo on COCO train2017 (118,287 images, unlabelled), crops of 518 and 98, 1 GPU x 64, 25 epochs.
_base_ = [
    '../../_base_/models/neco.py', '../../_base_/datasets/unlabelled_multicrop_518.py',
    '../../_base_/datasets/voc_overcluster_in_training.py', '../../_base_/schedules/neco_25e.py',
    '../../_base_/selfsup_runtime.py'
]
data_root = 'data/coco/images/train2017'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(num_samples=640))
randomness = dict(seed=400)

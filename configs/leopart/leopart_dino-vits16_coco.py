# Leopart from DINO ViT-S/16 on COCO train2017 (118,287 images, unlabelled), 2 GPUs x 32, 50 epochs; train_coco of the
# paper.
_base_ = [
    '../_base_/models/leopart.py', '../_base_/datasets/unlabelled_multicrop.py',
    '../_base_/datasets/voc_overcluster_in_training.py', '../_base_/schedules/leopart_50e.py',
    '../_base_/selfsup_runtime.py'
]
data_root = 'data/coco/images/train2017'
train_dataloader = dict(dataset=dict(data_root=data_root, folders=None))

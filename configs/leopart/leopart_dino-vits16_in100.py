# Leopart from DINO ViT-S/16 on ImageNet-100 (126,689 images), 2 GPUs x 32, 50 epochs; train_in100k_config of the paper.
_base_ = [
    '../_base_/models/leopart.py', '../_base_/datasets/unlabelled_multicrop.py',
    '../_base_/datasets/voc_overcluster_in_training.py', '../_base_/schedules/leopart_50e.py',
    '../_base_/selfsup_runtime.py'
]
# The class folders to take, one wnid per line: looked for here and in data_root.
data_root = 'data/imagenet/train'
train_dataloader = dict(dataset=dict(data_root=data_root, folders='imagenet100.txt'))

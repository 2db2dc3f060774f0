# NeCo from DINO ViT-S/16 on COCO, crops of 224 and 98 (whose last 2 pixels no patch covers, as published), 1 GPU x 45,
# 50 epochs, references from the batch. The paper gives 61.3 mIoU for the linear probe, the repository 65.8.
_base_ = [
    '../_base_/models/neco.py', '../_base_/datasets/unlabelled_multicrop_224-98.py',
    '../_base_/datasets/voc_overcluster_in_training.py', '../_base_/schedules/neco_50e.py',
    '../_base_/selfsup_runtime.py'
]
data_root = 'data/coco/images/train2017'
arch = 'vit_small_patch16_224'
checkpoint = 'checkpoints/dino_deitsmall16_pretrain.pth'
model = dict(backbone=dict(arch=arch, size_mode='drop', checkpoint=checkpoint), head=dict(queue=None))
train_dataloader = dict(batch_size=45, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(num_samples=640))
auto_scale_lr = dict(base_batch_size=45)
randomness = dict(seed=400)

# NeCo from DINO ViT-S/16 on COCO, crops of 224 and 98 (whose last 2 pixels no patch covers, as published), 1 GPU x 45,
# 50 epochs, references from the batch.
# Published (repository): 47.9 mIoU overclustering K = 500, 61.3 dense retrieval, 65.8 linear, on VOC val. The paper
# gives 61.3 linear and K = 21: 14.5.
_base_ = [
    '../_base_/models/neco_vits14.py', '../_base_/datasets/unlabelled_multicrop_224-98.py',
    '../_base_/datasets/voc_overcluster_in_training.py', '../_base_/schedules/leopart_50e.py',
    '../_base_/selfsup_runtime.py'
]
data_root = 'data/coco/images/train2017'
checkpoint = 'checkpoints/dino_deitsmall16_pretrain.pth'
model = dict(
    backbone=dict(arch='vit_small_patch16_224', size_mode='drop', checkpoint=checkpoint),
    head=dict(queue=None))
train_dataloader = dict(batch_size=45, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(num_samples=640))
auto_scale_lr = dict(base_batch_size=45)
default_hooks = dict(checkpoint=dict(interval=1))
randomness = dict(seed=400)

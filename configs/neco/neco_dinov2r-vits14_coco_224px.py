# Published example neco_224x224: DINOv2 ViT-S/14 with registers on COCO, crops of 224 and 98, 1 GPU x 6, 50 epochs,
# references from the batch. It states no number.
_base_ = [
    '../_base_/models/neco.py', '../_base_/datasets/unlabelled_multicrop_224-98.py',
    '../_base_/datasets/voc_overcluster_in_training.py', '../_base_/schedules/neco_50e.py',
    '../_base_/selfsup_runtime.py'
]
data_root = 'data/coco/images/train2017'
arch = 'vit_small_patch14_reg4_dinov2'
checkpoint = 'checkpoints/dinov2_vits14_reg4_pretrain.pth'
model = dict(
    backbone=dict(arch=arch, class_position=True, size_mode='pad', checkpoint=checkpoint), head=dict(queue=None))
optim_wrapper = dict(optimizer=dict(lr=1e-6))
train_dataloader = dict(batch_size=6, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(num_samples=640))
auto_scale_lr = dict(base_batch_size=6)
randomness = dict(seed=400)

# NeCo's ablations, but for their data: DINOv2's register weights in a ViT-S/14 without registers ("XR"), 1 GPU x 55, 50
# epochs, references from the batch.
_base_ = [
    '../../_base_/models/neco.py', '../../_base_/datasets/voc_overcluster_in_training.py',
    '../../_base_/schedules/neco_50e.py', '../../_base_/selfsup_runtime.py'
]
checkpoint = 'checkpoints/dinov2_vits14_reg4_pretrain.pth'
model = dict(
    backbone=dict(drop_registers=True, class_position=False, size_mode='pad', checkpoint=checkpoint),
    head=dict(queue=None))
optim_wrapper = dict(optimizer=dict(lr=1e-6))
val_dataloader = dict(dataset=dict(num_samples=640))
auto_scale_lr = dict(base_batch_size=55)
randomness = dict(seed=400)

# PriMaPs-EM on the 279 training images of MSRC-21 from a supervised ViT-Ti/16, for two CPU cores: 320 x 320, 21
# prototypes, 10 epochs of 17 batches of 16. One command makes proposals, first prototypes and scores:
#   python tools/primaps.py THIS_FILE --images data/msrc21 --work-dir work_dirs/msrc21 --cfg-options checkpoint=FILE
_base_ = [
    '../_base_/models/primaps.py', '../_base_/datasets/msrc21_primaps.py', '../_base_/schedules/primaps_50e.py',
    '../_base_/primaps_scores.py', '../_base_/probe_runtime.py'
]
initialisation = 'primaps_kmeans_vit-tiny_msrc21.py'
data_root = 'data/msrc21'
arch = 'vit_tiny_patch16_224'
mean = std = [127.5] * 3
checkpoint = 'checkpoints/vit_tiny_patch16_224_in21k_in1k_fp16.safetensors'
num_classes = 21
epochs = 10
init_epochs = 10  # about as many steps as the two epochs of Cityscapes
model = dict(
    data_preprocessor=dict(mean=mean, std=std),
    backbone=dict(arch=arch, checkpoint=checkpoint),
    decode_head=dict(num_prototypes=num_classes),
    linear_probe=dict(num_classes=num_classes))
train_cfg = dict(max_epochs=epochs)

# PriMaPs-EM on 180 images of Pascal VOC from a supervised ViT-Ti/16, for two CPU cores: 320 x 320, 21 prototypes, 10
# epochs of 11 batches of 16:
#   python tools/primaps.py THIS_FILE --images VOC2012 --work-dir work_dirs/voc --cfg-options checkpoint=FILE
_base_ = [
    '../_base_/models/primaps.py', '../_base_/datasets/voc_primaps.py', '../_base_/schedules/primaps_50e.py',
    '../_base_/primaps_scores.py', '../_base_/probe_runtime.py'
]
initialisation = 'primaps_kmeans_vit-tiny_voc-subset.py'
data_root = 'data/VOCdevkit/VOC2012'
arch = 'vit_tiny_patch16_224'
mean = std = [127.5] * 3
checkpoint = 'checkpoints/vit_tiny_patch16_224_in21k_in1k_fp16.safetensors'
num_classes = 21
epochs = 10
init_epochs = 10  # about as many steps as the two epochs of Cityscapes
images = dict(data_root=data_root, split='train', data_prefix=dict(seg_map_path='SegmentationClass'))
model = dict(
    data_preprocessor=dict(mean=mean, std=std),
    backbone=dict(arch=arch, checkpoint=checkpoint),
    decode_head=dict(num_prototypes=num_classes),
    linear_probe=dict(num_classes=num_classes))
proposal_dataloader = dict(batch_size=16, num_workers=1, dataset=images)
train_dataloader = dict(batch_size=16, num_workers=1, dataset=images)
test_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root))
val_dataloader = test_dataloader
train_cfg = dict(max_epochs=epochs)

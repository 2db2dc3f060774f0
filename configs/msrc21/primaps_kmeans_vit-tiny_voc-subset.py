# The baseline of primaps_vit-tiny_voc-subset.py, batch-wise cosine k-means; with epochs=2 its first prototypes.
_base_ = [
    '../_base_/models/primaps_kmeans.py', '../_base_/datasets/voc_kmeans.py',
    '../_base_/schedules/primaps_kmeans_50e.py',
    '../_base_/primaps_scores.py', '../_base_/probe_runtime.py'
]
data_root = 'data/VOCdevkit/VOC2012'
arch = 'vit_tiny_patch16_224'
mean = std = [127.5] * 3
checkpoint = 'checkpoints/vit_tiny_patch16_224_in21k_in1k_fp16.safetensors'
num_classes = 21
epochs = 10
images = dict(data_root=data_root, split='train', data_prefix=dict(seg_map_path='SegmentationClass'))
model = dict(
    data_preprocessor=dict(mean=mean, std=std),
    backbone=dict(arch=arch, checkpoint=checkpoint),
    decode_head=dict(num_prototypes=num_classes),
    linear_probe=dict(num_classes=num_classes))
train_dataloader = dict(batch_size=16, num_workers=1, dataset=images)
test_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root))
val_dataloader = test_dataloader
train_cfg = dict(max_epochs=epochs)

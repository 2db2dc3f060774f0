# NeCo from DINOv2 ViT-S/14 on COCO train2017 (118,287 images, unlabelled), crops of 518 and 98, 1 GPU x 64, 25 epochs.
# Published (repository): 57.7 mIoU overclustering K = 500, 78.6 dense retrieval, 81.4 linear, on VOC val.
# What the published code does otherwise is set in neco_dinov2-vits14_coco_published.py.
_base_ = [
    '../_base_/models/neco_vits14.py', '../_base_/datasets/unlabelled_multicrop_518.py',
    '../_base_/datasets/voc_overcluster_in_training.py', '../_base_/schedules/neco_25e.py',
    '../_base_/selfsup_runtime.py'
]
data_root = 'data/coco/images/train2017'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(num_samples=640))
randomness = dict(seed=400)

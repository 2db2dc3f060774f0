# Linear segmentation on frozen NeCo ViT-S/14 features, COCO-Things: a random 10 % of train2017, all of val2017.
# Published: 82.3 mIoU from DINOv2R-XR (paper, table 2).
_base_ = [
    '../../_base_/models/linear_densevit-s14.py', '../../_base_/datasets/coco-thing_probe448.py',
    '../../_base_/schedules/probe_25e_batch128.py', '../../_base_/probe_runtime.py'
]
model = dict(decode_head=dict(num_classes=12))
train_dataloader = dict(batch_size=128)

# Linear segmentation on frozen ViT-S/16 features, COCO-Things: a random 10 % of train2017, all of val2017.
_base_ = [
    '../../_base_/models/linear.py', '../../_base_/datasets/coco-thing_probe448.py',
    '../../_base_/schedules/probe_25e.py', '../../_base_/probe_runtime.py',
]
num_classes = 12
model = dict(decode_head=dict(num_classes=num_classes))

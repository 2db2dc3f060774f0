# MaskDistill's detector on COCO (docs/methods/maskdistill.md §6): as mask-rcnn_r50_voc.py, with 80 clusters. The
# published settings are not known; these are ours.
_base_ = [
    '../_base_/models/mask-rcnn_r50.py', '../_base_/datasets/instances.py', '../_base_/schedules/detector_24k.py',
    '../_base_/detector_runtime.py'
]
num_classes = 80
data_root = 'data/coco/train2014'
ann_file = 'work_dirs/maskdistill/coco/clusters.json'
model = dict(roi_head=dict(bbox_head=dict(num_classes=num_classes), mask_head=dict(num_classes=num_classes)))
train_dataloader = dict(dataset=dict(num_classes=num_classes, data_root=data_root, ann_file=ann_file))
test_dataloader = dict(dataset=dict(num_classes=num_classes, data_root=data_root))

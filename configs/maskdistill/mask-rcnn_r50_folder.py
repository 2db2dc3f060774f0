# MaskDistill's detector on a folder of images without labels, whose masks have raw cluster ids as categories. Settings
# are ours, not published; a few thousand images need fewer iterations. Predictions are on all images of the folder.
#   python tools/train.py THIS_FILE --cfg-options data_root=my/images ann_file=CLUSTERS.json num_classes=27 \
#       iterations=6000 checkpoint=FILE
#   python tools/test.py THIS_FILE CHECKPOINT --out DIR --cfg-options data_root=my/images num_classes=27
_base_ = [
    '../_base_/models/mask-rcnn_r50.py', '../_base_/datasets/instances.py', '../_base_/schedules/detector_24k.py',
    '../_base_/detector_runtime.py'
]
num_classes = 27
model = dict(roi_head=dict(bbox_head=dict(num_classes=num_classes), mask_head=dict(num_classes=num_classes)))
train_dataloader = dict(dataset=dict(num_classes=num_classes))
test_dataloader = dict(dataset=dict(num_classes=num_classes))

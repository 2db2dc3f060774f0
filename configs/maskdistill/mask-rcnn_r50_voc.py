# MaskDistill's detector on VOC 2012 (docs/methods/maskdistill.md §6): Mask R-CNN on the masks and clusters of §5 from
# 11,540 images. The published settings are not known; these are ours.
#   python tools/train.py THIS_FILE --cfg-options ann_file=CLUSTERS.json data_root=VOC2012/JPEGImages checkpoint=FILE
#   python tools/test.py THIS_FILE CHECKPOINT --out DIR --cfg-options test_ann_file=IMAGES.json   # predictions.json
# IMAGES.json: tools/dataset_converters/image_list.py. With a ground truth (tools/dataset_converters/voc_to_coco.py) mask
# AP is scored as well: test_evaluator.type=leopart_mm.InstanceMetric test_evaluator.ann_file=GT.json
_base_ = [
    '../_base_/models/mask-rcnn_r50.py', '../_base_/datasets/instances.py', '../_base_/schedules/detector_24k.py',
    '../_base_/detector_runtime.py'
]
num_classes = 20
data_root = 'data/VOCdevkit/VOC2012/JPEGImages'
ann_file = 'work_dirs/maskdistill/voc/clusters.json'
train_dataloader = dict(dataset=dict(num_classes=num_classes, data_root=data_root, ann_file=ann_file))
test_dataloader = dict(dataset=dict(num_classes=num_classes, data_root=data_root))

# MaskDistill's DeepLabv3 on any folder of images and the label maps made for them, without ground truth: labels are
# background and raw clusters, nothing is scored, the last checkpoint counts. Usage:
#   python tools/train.py THIS_FILE --cfg-options data_root=my/images label_folder=DIR num_classes=28 checkpoint=FILE
#   python tools/segment_folder.py my/images --checkpoint CHECKPOINT
# num_classes counts background: one more than the detector's. A small folder needs more epochs (epochs=...).
_base_ = './_base_/deeplab.py'
num_classes = 28
data_root = 'data/images'
label_folder = 'work_dirs/maskdistill/folder/labels'
pipeline = [
    dict(type='leopart_mm.LoadImage'),
    dict(type='Resize', scale=_base_.size, keep_ratio=False, interpolation='bicubic'),
    dict(type='PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor',
                                          'value_range', 'nodata')),
]
model = dict(decode_head=dict(num_classes=num_classes))
train_dataloader = dict(
    dataset=dict(data_root=data_root, labels=label_folder, data_prefix=dict(img_path=''), num_classes=num_classes,
                 names=None))
val_dataloader = None
val_cfg = None
val_evaluator = None
test_dataloader = dict(
    dataset=dict(_delete_=True, type='leopart_mm.UnlabelledImages', data_root=data_root, pipeline=pipeline))
test_evaluator = []  # there is no ground truth to score with

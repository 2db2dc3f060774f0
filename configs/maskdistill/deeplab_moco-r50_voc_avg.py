# MaskDistill's DeepLabv3 on the label maps `multi_obj_avg` (docs/methods/maskdistill.md §15, row multi_obj_avg/deeplab).
# What they average is not published; the maps themselves are a download. All else is that of deeplab_moco-r50_voc.py.
_base_ = './_base_/deeplab.py'
label_folder = 'work_dirs/maskdistill/voc/labels_avg'
train_dataloader = dict(dataset=dict(labels=label_folder))

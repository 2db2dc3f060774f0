# As deeplab_moco-r50_voc_plus_crf.py, after deeplab_moco-r50_voc_avg.py (docs/methods/maskdistill.md §15, row
# multi_obj_avg/deeplab_plus_crf).
_base_ = './_base_/deeplab.py'
label_folder = 'work_dirs/maskdistill/voc/labels_avg_crf'
model = dict(postprocessors=_base_.postprocessors)
train_dataloader = dict(dataset=dict(labels=label_folder))
val_dataloader = dict(dataset=dict(pipeline=_base_.pixel_pipeline))
test_dataloader = val_dataloader

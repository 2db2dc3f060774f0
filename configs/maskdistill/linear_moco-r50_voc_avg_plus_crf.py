# Linear probe of deeplab_moco-r50_voc_avg_plus_crf.py, scored with CRF (docs/methods/maskdistill.md §10, row
# multi_obj_avg/linear_plus_crf): 62.77 mIoU published. 45 epochs of batches of 24.
_base_ = './_base_/linear.py'
checkpoint = 'work_dirs/maskdistill/voc/deeplab_avg_plus_crf/epoch_45.pth'
load_from = checkpoint
epochs = 45
steps = [epochs * 26 // 45]
batch_size = 24
model = dict(postprocessors=_base_.postprocessors)
train_dataloader = dict(batch_size=batch_size)
val_dataloader = dict(dataset=dict(pipeline=_base_.pixel_pipeline))
test_dataloader = val_dataloader
param_scheduler = [dict(type='MultiStepLR', milestones=steps, gamma=0.1, by_epoch=True)]
train_cfg = dict(max_epochs=epochs)
auto_scale_lr = dict(base_batch_size=batch_size)

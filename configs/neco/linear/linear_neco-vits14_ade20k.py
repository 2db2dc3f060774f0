# Linear segmentation on frozen NeCo ViT-S/14 features, ADE20K: 150 classes, label 0 ignored. Published: 40.1 mIoU from
# DINOv2R-XR (paper, table 2), a mean over 151 classes of which one cannot occur; here it is left out
# (count_ignored=True in the metrics counts it).
_base_ = './linear_neco-vits14_voc.py'
data_root = 'data/ade/ADEChallengeData2016'
model = dict(
    data_preprocessor=dict(seg_pad_val=0),
    decode_head=dict(num_classes=151, ignore_index=0))
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='leopart_mm.ADE20K151', data_root=data_root, split='training',
        pipeline=_base_.train_pipeline))
val_dataloader = dict(
    dataset=dict(
        _delete_=True, type='leopart_mm.ADE20K151', data_root=data_root, split='validation', test_mode=True,
        pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ignore_index=0)
test_evaluator = val_evaluator

# ADE20K for probes, sized as Pascal VOC is (docs/methods/neco.md §7.2). Label 0 is no class: set ignore_index=0 in the
# head and seg_pad_val=0 in the preprocessor.
_base_ = './voc_aug_probe448.py'
data_root = 'data/ade/ADEChallengeData2016'
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

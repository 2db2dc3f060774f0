# COCO-Stuff 15 for probes: a random 10 % of train2017, all of val2017, sized as Pascal VOC is (docs/methods/leopart.md
# §9); masks by tools/dataset_converters/coco_stuff15.py. The published seed of the 10 % is not known.
_base_ = './voc_aug_probe448.py'
data_root = 'data/coco'
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='leopart_mm.COCOStuff15', data_root=data_root, split='train2017', num_samples=11829,
        subset_seed=0, pipeline=_base_.train_pipeline))
val_dataloader = dict(
    dataset=dict(
        _delete_=True, type='leopart_mm.COCOStuff15', data_root=data_root, split='val2017', test_mode=True,
        pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader

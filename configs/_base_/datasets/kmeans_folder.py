# Batch-wise k-means, PriMaPs-EM's initialisation and baseline (docs/methods/primaps.md §7), on the images of
# primaps_folder.py: no proposals and no augmentation.
_base_ = './primaps_320.py'
data_root = 'data/images'
images = dict(type='leopart_mm.UnlabelledImages', data_root=data_root)
load_image = dict(type='leopart_mm.LoadImage')
train_pipeline = [load_image, _base_.resize, _base_.crop, _base_.pack]
proposal_dataloader = None
train_dataloader = dict(drop_last=False, dataset=dict(images, pipeline=train_pipeline))  # all, however few they are
test_dataloader = dict(
    batch_size=1,  # of any shape
    dataset=dict(
        _delete_=True, pipeline=[load_image, dict(_base_.resize, method=_base_.val_resize), _base_.pack], **images))
val_dataloader = None
val_evaluator = None
val_cfg = None
test_evaluator = []  # there is no ground truth to score with

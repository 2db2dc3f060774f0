# A folder of images, cut into 2 global crops of 224 and 4 local crops of 98 pixels (docs/methods/neco.md §2).
_base_ = './unlabelled_multicrop.py'
train_pipeline = _base_.train_pipeline
train_pipeline[1].update(sizes=(224, 98))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

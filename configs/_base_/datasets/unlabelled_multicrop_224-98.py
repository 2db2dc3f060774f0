# A folder of images, cut into 2 global crops of 224 and 4 local crops of 98 pixels (NeCo, sec. 2).
_base_ = './unlabelled_multicrop.py'
train_pipeline = [
    dict(type='leopart_mm.LoadImage'),
    dict(type='leopart_mm.RoIAlignedMultiCrop', num_crops=(2, 4), sizes=(224, 98), scales=((0.25, 1.), (0.05, 0.25)),
         min_overlap=0.01),
    dict(type='leopart_mm.DrawPhotometric', jitter=1., blur=1.),
    dict(type='leopart_mm.PackMultiCrop'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

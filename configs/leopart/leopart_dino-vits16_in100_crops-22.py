# Ablation: 2 global and 2 local crops; ablate_crops_22 of the paper.
_base_ = './leopart_dino-vits16_in100.py'
train_pipeline = [
    dict(type='leopart_mm.LoadImage'),
    dict(type='leopart_mm.RoIAlignedMultiCrop', num_crops=(2, 2), sizes=(224, 96), scales=((0.25, 1.), (0.05, 0.25)),
         min_overlap=0.01),
    dict(type='leopart_mm.DrawPhotometric', jitter=1., blur=1.),
    dict(type='leopart_mm.PackMultiCrop'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# Published example neco_518x518: DINOv2 ViT-S/14 with registers on COCO, crops of 518 and 98, 1 GPU x 6, 50 epochs,
# references from the batch. It states no number.
_base_ = './neco_dinov2r-vits14_coco_224px.py'
train_pipeline = [
    dict(type='leopart_mm.LoadImage'),
    dict(type='leopart_mm.RoIAlignedMultiCrop', num_crops=(2, 4), sizes=(518, 98), scales=((0.25, 1.), (0.05, 0.25)),
         min_overlap=0.01),
    dict(type='leopart_mm.DrawPhotometric', jitter=1., blur=1.),
    dict(type='leopart_mm.PackMultiCrop'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

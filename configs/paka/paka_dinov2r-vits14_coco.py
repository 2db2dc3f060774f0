# PaKA from DINOv2 ViT-S/14 with registers on COCO train2017 (docs/methods/paka.md). Network, crops and schedule are
# NeCo's (518 and 98 pixels, 1 GPU x 64, 25 epochs), whose setting the paper compares with; its own learning rate, batch
# and number of epochs are not known here.
_base_ = ['../neco/_base_/coco_518.py']
arch = 'vit_small_patch14_reg4_dinov2'
checkpoint = 'checkpoints/dinov2_vits14_reg4_pretrain.pth'
model = dict(
    type='leopart_mm.PaKA',
    backbone=dict(arch=arch, class_position=True, checkpoint=checkpoint),
    head=dict(_delete_=True, type='leopart_mm.PaKALoss', kernel=7))
train_pipeline = [
    _base_.load_image, dict(_base_.crops, sizes=_base_.crop_sizes, min_containment=0.9),
    dict(_base_.colours, clean_global=True), _base_.pack
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

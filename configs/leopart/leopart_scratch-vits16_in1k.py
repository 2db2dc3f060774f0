# Leopart without pretraining on ImageNet-1k (1,281,167 images), 400 epochs, mask all; train_in_scratch of the paper.
_base_ = './leopart_dino-vits16_in100.py'
checkpoint = None
model = dict(backbone=dict(checkpoint=checkpoint), head=dict(mask='all'))
train_dataloader = dict(dataset=dict(folders=None))
epochs = 400
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, eta_min=0., by_epoch=True, begin=0, end=epochs, convert_to_iter_based=True),
    dict(type='CosineAnnealingWeightDecay', T_max=epochs, eta_min=0.5, by_epoch=True, begin=0, end=epochs,
         convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs)

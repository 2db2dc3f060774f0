# NeCo's schedule (docs/methods/neco.md §6) for 1 GPU x 64 images: Leopart's, in 25 epochs and with a checkpoint after
# each.
_base_ = './leopart_50e.py'
epochs = 25
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, eta_min=0., by_epoch=True, begin=0, end=epochs, convert_to_iter_based=True),
    dict(type='CosineAnnealingWeightDecay', T_max=epochs, eta_min=0.5, by_epoch=True, begin=0, end=epochs,
         convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs)
default_hooks = dict(checkpoint=dict(interval=1))

# Self-supervised training for a number of iterations (--cfg-options iterations=...), for small data sets, whose
# epochs are short. The teacher follows faster than in the long published runs. It needs an InfiniteDrawSampler.
_base_ = './leopart_50e.py'
iterations = 2000
backbone_lr = 1e-5  # of adapters (trainable='lora') five times this is a good start
optim_wrapper = dict(optimizer=dict(lr=backbone_lr))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=iterations, eta_min=0., by_epoch=False, begin=0, end=iterations),
    dict(type='CosineAnnealingWeightDecay', T_max=iterations, eta_min=0.5, by_epoch=False, begin=0, end=iterations),
]
train_cfg = dict(_delete_=True, type='leopart_mm.ResumableIterLoop', max_iters=iterations)
log_processor = dict(by_epoch=False)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(by_epoch=False, interval=500, max_keep_ckpts=3))
custom_hooks = [
    dict(type='leopart_mm.StepSeedHook'),
    dict(type='leopart_mm.SelfSupStepHook', momentum=0.996, end_momentum=1.),
    dict(type='leopart_mm.HealthHook'),
    dict(type='leopart_mm.BackboneCheckpointHook'),
]

# Leopart's schedule (docs/methods/leopart.md §5, §6) for 2 GPUs x 32 images: everything falls or rises on half a
# cosine, step by step.
epochs = 50
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='leopart_mm.BackboneHeadConstructor',
    optimizer=dict(type='AdamW', lr=1e-5, weight_decay=0.04),
    paramwise_cfg=dict(head_lr=1e-4))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, eta_min=0., by_epoch=True, begin=0, end=epochs, convert_to_iter_based=True),
    dict(type='CosineAnnealingWeightDecay', T_max=epochs, eta_min=0.5, by_epoch=True, begin=0, end=epochs,
         convert_to_iter_based=True),
]
train_cfg = dict(type='leopart_mm.ResumableEpochLoop', max_epochs=epochs, val_interval=1)
auto_scale_lr = dict(enable=False, base_batch_size=64)
log_processor = dict(by_epoch=True)
default_hooks = dict(
    value_range=dict(type='leopart_mm.ValueRangeHook'),  # one for all data sets of a run
    runtime_info=dict(type='leopart_mm.LateInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='leopart_mm.AtomicCheckpointHook', by_epoch=True, interval=5),
    sampler_seed=dict(type='DistSamplerSeedHook'))
custom_hooks = [
    dict(type='leopart_mm.StepSeedHook'),
    dict(type='leopart_mm.SelfSupStepHook', momentum=0.9995, end_momentum=1.),
    dict(type='leopart_mm.HealthHook'),
]

# Prototypes by batch-wise k-means (docs/methods/primaps.md §7), which start at the principal directions: Adam at a
# constant rate, 50 epochs; the last checkpoint counts.
epochs = 50
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='leopart_mm.BackboneHeadConstructor',  # only what is trained: prototypes and probe
    optimizer=dict(type='Adam', lr=5e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.))
param_scheduler = []
train_cfg = dict(type='leopart_mm.ResumableEpochLoop', max_epochs=epochs, val_interval=1)
test_cfg = dict(type='leopart_mm.FitTestLoop')
randomness = dict(seed=0)
auto_scale_lr = dict(enable=False, base_batch_size=32)
log_processor = dict(by_epoch=True)
default_hooks = dict(
    value_range=dict(type='leopart_mm.ValueRangeHook'),  # one for all data sets of a run
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='leopart_mm.AtomicCheckpointHook', by_epoch=True, interval=1, max_keep_ckpts=1),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='leopart_mm.ClusterVisualizationHook'))
custom_hooks = [
    dict(type='leopart_mm.StepSeedHook'),
    dict(type='leopart_mm.PrototypeHook'),
    dict(type='leopart_mm.HealthHook'),
    dict(type='leopart_mm.BackboneCheckpointHook'),
]

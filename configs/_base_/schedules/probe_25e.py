# The published probes (docs/methods/leopart.md §9): SGD on the head, 25 epochs, a tenth of the rate after 20. The rate
# is that of a batch of 60 in total.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4))
param_scheduler = [dict(type='StepLR', step_size=20, gamma=0.1, by_epoch=True)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=25, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
randomness = dict(seed=400)
auto_scale_lr = dict(enable=False, base_batch_size=60)
log_processor = dict(by_epoch=True)
default_hooks = dict(
    value_range=dict(type='leopart_mm.ValueRangeHook'),  # one for all data sets of a run
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='leopart_mm.AtomicCheckpointHook', by_epoch=True, interval=5, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook', interval=1))

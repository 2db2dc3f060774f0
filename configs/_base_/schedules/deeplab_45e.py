# MaskDistill's schedule (docs/methods/maskdistill.md §8.2): SGD, 45 epochs, a tenth of the rate in the last four. The
# last checkpoint counts; scores during training choose nothing.
epochs = 45
lr = 0.002
steps = [epochs * 41 // 45]  # published: after 41 epochs
val_interval = 5
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=1e-4))
param_scheduler = [dict(type='MultiStepLR', milestones=steps, gamma=0.1, by_epoch=True)]
train_cfg = dict(type='leopart_mm.ResumableEpochLoop', max_epochs=epochs, val_interval=val_interval)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
randomness = dict(seed=0)
auto_scale_lr = dict(enable=False, base_batch_size=16)
log_processor = dict(by_epoch=True)
default_hooks = dict(
    value_range=dict(type='leopart_mm.ValueRangeHook'),  # one for all data sets of a run
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='leopart_mm.AtomicCheckpointHook', by_epoch=True, interval=5, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='leopart_mm.ClusterVisualizationHook'))
custom_hooks = [dict(type='leopart_mm.StepSeedHook'), dict(type='leopart_mm.HealthHook')]

# The schedule customary for self-supervised backbones on VOC (ours, docs/methods/maskdistill.md §6 has none): SGD for
# 24,000 iterations of 16 images, a tenth of the rate after 3/4 and 11/12 of them, 100 iterations of warm-up.
iterations = 24000
lr = 0.02
steps = [iterations * 3 // 4, iterations * 11 // 12]
warmup_iters = max(min(100, iterations // 10), 1)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='MultiStepLR', milestones=steps, gamma=0.1, by_epoch=False, begin=0, end=iterations),
]
train_cfg = dict(type='leopart_mm.ResumableIterLoop', max_iters=iterations)
test_cfg = dict(type='TestLoop')
randomness = dict(seed=0)
auto_scale_lr = dict(enable=False, base_batch_size=16)
log_processor = dict(by_epoch=False)
default_hooks = dict(
    value_range=dict(type='leopart_mm.ValueRangeHook'),  # one for all data sets of a run
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='leopart_mm.AtomicCheckpointHook', by_epoch=False, interval=2000, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='DetVisualizationHook', interval=1))
custom_hooks = [
    dict(type='leopart_mm.StepSeedHook'),
    dict(type='leopart_mm.HealthHook'),
    dict(type='leopart_mm.Detectron2CheckpointHook'),
    dict(type='leopart_mm.BackboneCheckpointHook'),
]

# Runtime of evaluation with tools/test.py: what fits on data and predicts, and what scores it, comes from other files.
_base_ = './default_runtime.py'
default_scope = 'mmseg'
default_hooks = dict(
    value_range=dict(type='leopart_mm.ValueRangeHook'),  # one for all data sets of a run
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    visualization=dict(type='leopart_mm.ClusterVisualizationHook'))
# A file that holds only a backbone (DINO, DINOv2, SwAV, ...) is enough as the checkpoint.
custom_hooks = [dict(type='leopart_mm.BackboneCheckpointHook')]
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)

# Runtime of dense retrieval: fill the patch memory from fit_dataloader, predict, score by class names. mIoU is that
# without any matching; hungarian/mIoU is the published one, which can only be higher. Both leave out classes that
# cannot occur (count_ignored=True counts them as 0, as published).
custom_imports = dict(imports=['leopart_mm'], allow_failed_imports=False)
default_scope = 'mmseg'
test_evaluator = dict(type='leopart_mm.ClusterMetric', matching=['direct', 'hungarian'])
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    visualization=dict(type='leopart_mm.ClusterVisualizationHook'))
# A file that holds only a backbone (DINO, DINOv2, ...) is enough as the checkpoint.
custom_hooks = [dict(type='leopart_mm.BackboneCheckpointHook')]
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
env_cfg = dict(cudnn_benchmark=True, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
               dist_cfg=dict(backend='nccl'))
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False

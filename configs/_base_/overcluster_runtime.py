# Runtime of evaluation without labels: fit on the test images (transductive, as published), predict, score.
custom_imports = dict(imports=['leopart_mm'], allow_failed_imports=False)
default_scope = 'mmseg'
test_cfg = dict(type='leopart_mm.FitTestLoop')
# As many clusters as classes are matched by Hungarian, others each to the class it is most precise for. Masks are
# compared at 100 x 100.
test_evaluator = dict(type='leopart_mm.ClusterMetric', matching='auto', eval_size=(100, 100))
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    visualization=dict(type='leopart_mm.ClusterVisualizationHook'))
# A file that holds only a backbone (DINO, SwAV, ...) is enough as the checkpoint.
custom_hooks = [dict(type='leopart_mm.BackboneCheckpointHook'), dict(type='leopart_mm.ResNetCheckpointHook')]
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
env_cfg = dict(cudnn_benchmark=True, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
               dist_cfg=dict(backend='nccl'))
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False

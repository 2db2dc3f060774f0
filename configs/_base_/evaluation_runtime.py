# Runtime of evaluation with tools/test.py: what fits on data and predicts, and what scores it, comes from other files.
custom_imports = dict(imports=['leopart_mm'], allow_failed_imports=False)
default_scope = 'mmseg'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    visualization=dict(type='leopart_mm.ClusterVisualizationHook'))
# A file that holds only a backbone (DINO, DINOv2, SwAV, ...) is enough as the checkpoint.
custom_hooks = [dict(type='leopart_mm.BackboneCheckpointHook'), dict(type='leopart_mm.ResNetCheckpointHook')]
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
env_cfg = dict(cudnn_benchmark=True, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
               dist_cfg=dict(backend='nccl'))
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False

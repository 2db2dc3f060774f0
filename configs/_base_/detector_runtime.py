# Runtime of detectors (pip install 'leopart_mm[mmdet]').
_base_ = './default_runtime.py'
default_scope = 'mmdet'
sync_bn = 'torch'  # MMEngine converts BN layers where several processes train
visualizer = dict(_delete_=True, type='mmdet.DetLocalVisualizer', vis_backends=_base_.vis_backends, name='visualizer')

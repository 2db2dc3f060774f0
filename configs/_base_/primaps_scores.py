# The five pairs of scores of PriMaPs (docs/methods/primaps.md §10, §11): momentum prototypes, running prototypes, both
# after the CRF, and the linear probe. mIoU_defined is the published mean. Validation during training has neither CRF nor
# mirrored images.
scores = dict(type='leopart_mm.ClusterMetric', matching='hungarian_pixels')
momentum = dict(scores, prefix='momentum', field='pred_momentum')
running = dict(scores, prefix='running', field='pred_running', say_labels=False)
linear = dict(scores, prefix='linear', field='pred_linear', matching='direct', say_labels=False)
val_evaluator = [momentum, running, linear]
test_evaluator = [
    momentum, dict(scores, prefix='momentum_crf', field='pred_momentum_crf', say_labels=False),
    running, dict(scores, prefix='running_crf', field='pred_running_crf', say_labels=False), linear
]
val_cfg = dict(type='ValLoop')

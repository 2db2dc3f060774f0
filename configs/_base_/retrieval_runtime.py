# Runtime of dense retrieval: fill the patch memory from fit_dataloader, predict, score by class names. mIoU is that
# without any matching; hungarian/mIoU is the published one, which can only be higher. Both leave out classes that
# cannot occur (count_ignored=True counts them as 0, as published).
_base_ = './evaluation_runtime.py'
test_evaluator = dict(type='leopart_mm.ClusterMetric', matching=['direct', 'hungarian'])

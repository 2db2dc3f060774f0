# Runtime of evaluation without labels: fit on the test images (transductive, as published), predict, score.
_base_ = './evaluation_runtime.py'
test_cfg = dict(type='leopart_mm.FitTestLoop')
# As many clusters as classes are matched by Hungarian, others each to the class it is most precise for. Masks are
# compared at 100 x 100.
test_evaluator = dict(type='leopart_mm.ClusterMetric', matching='auto', eval_size=(100, 100))

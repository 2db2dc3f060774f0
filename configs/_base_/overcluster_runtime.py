# For users' files that inherit from it: evaluation without labels, fitted on the test images. Ours find this in
# models/overcluster.py.
_base_ = './evaluation_runtime.py'
test_cfg = dict(type='leopart_mm.FitTestLoop')
test_evaluator = dict(type='leopart_mm.ClusterMetric', matching='auto', eval_size=(100, 100))

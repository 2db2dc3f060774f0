# For users' files that inherit from it: evaluation of dense retrieval. Ours find this in models/retrieval.py.
_base_ = './evaluation_runtime.py'
test_evaluator = dict(type='leopart_mm.ClusterMetric', matching=['direct', 'hungarian'])

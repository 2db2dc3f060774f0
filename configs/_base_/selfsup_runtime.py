# Runtime of self-supervised training.
_base_ = './default_runtime.py'
default_scope = 'mmpretrain'
randomness = dict(seed=0)

# Published ablation steepness_no_teacher: the student is compared with itself in the other crop and also learns through
# the references.
_base_ = ['./_base_/xr_ablation.py', './_base_/voc_batch55.py']
model = dict(use_teacher=False, head=dict(network='odd_even'))

# Published ablation steepness_odd_even: an odd-even sorting network, steepness 100.
_base_ = ['./_base_/xr_ablation.py', './_base_/coco_batch55.py']
model = dict(head=dict(network='odd_even'))

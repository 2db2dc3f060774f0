# Published ablation steepness_voc: VOC trainaug, odd-even sorting network.
_base_ = ['./_base_/xr_ablation.py', './_base_/voc_batch55.py']
model = dict(head=dict(network='odd_even'))

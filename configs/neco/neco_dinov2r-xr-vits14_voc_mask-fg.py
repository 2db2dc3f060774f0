# Published ablation steepness_fg: only the foreground by the teacher's attention is compared and serves as reference.
_base_ = ['./_base_/xr_ablation.py', './_base_/voc_batch55.py']
model = dict(head=dict(network='odd_even', mask='fg'))

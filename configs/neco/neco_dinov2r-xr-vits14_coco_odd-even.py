# Published ablation steepness_odd_even: an odd-even sorting network, steepness 100.
_base_ = './neco_dinov2r-xr-vits14_coco_steep-100-100.py'
model = dict(head=dict(network='odd_even'))

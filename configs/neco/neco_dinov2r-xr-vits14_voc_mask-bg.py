# Published ablation steepness_bg: only the background by the teacher's attention is compared and serves as reference.
_base_ = './neco_dinov2r-xr-vits14_voc.py'
model = dict(head=dict(mask='bg'))

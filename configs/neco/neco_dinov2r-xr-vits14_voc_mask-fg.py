# Published ablation steepness_fg: only the foreground by the teacher's attention is compared and serves as reference.
_base_ = './neco_dinov2r-xr-vits14_voc.py'
model = dict(head=dict(mask='fg'))

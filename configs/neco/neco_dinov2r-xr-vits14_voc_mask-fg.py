# Published ablation steepness_fg: only the foreground by the teacher's attention is compared and serves as reference.
# No number is in the specification.
_base_ = './neco_dinov2r-xr-vits14_voc.py'
model = dict(head=dict(loss=dict(mask='fg')))

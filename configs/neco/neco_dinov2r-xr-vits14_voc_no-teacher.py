# Published ablation steepness_no_teacher: the student is compared with itself in the other crop and also learns through
# the references.
_base_ = './neco_dinov2r-xr-vits14_voc.py'
model = dict(use_teacher=False)

# Published ablation steepness_no_teacher: the student is compared with itself in the other crop and also learns through
# the references. No number is in the specification.
_base_ = './neco_dinov2r-xr-vits14_voc.py'
model = dict(use_teacher=False)

# Published ablation steepness_1000_1000: steepness 1000 of the student and 1000 of the teacher. No number is in the
# specification.
_base_ = './neco_dinov2r-xr-vits14_coco_steep-100-100.py'
model = dict(head=dict(student_steepness=1000., teacher_steepness=1000.))

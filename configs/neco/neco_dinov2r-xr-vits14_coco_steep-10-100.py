# Published ablation steepness_10_100: steepness 10 of the student and 100 of the teacher. No number is in the
# specification.
_base_ = './neco_dinov2r-xr-vits14_coco_steep-100-100.py'
model = dict(head=dict(student_steepness=10., teacher_steepness=100.))

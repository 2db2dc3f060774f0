# Published ablation steepness_10_1000: steepness 10 of the student and 1000 of the teacher.
_base_ = ['./_base_/xr_ablation.py', './_base_/coco_batch55.py']
model = dict(head=dict(student_steepness=10., teacher_steepness=1000.))

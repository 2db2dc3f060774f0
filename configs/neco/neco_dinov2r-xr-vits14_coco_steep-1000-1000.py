# Published ablation steepness_1000_1000: steepness 1000 of the student and 1000 of the teacher.
_base_ = ['./_base_/xr_ablation.py', './_base_/coco_batch55.py']
model = dict(head=dict(student_steepness=1000., teacher_steepness=1000.))

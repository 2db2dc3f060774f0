# Published ablation steepness_100_100: steepness 100 of the student and 100 of the teacher.
_base_ = ['./_base_/xr_ablation.py', './_base_/coco_batch55.py']
model = dict(head=dict(student_steepness=100., teacher_steepness=100.))

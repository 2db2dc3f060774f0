# Ablation: no teacher, the student gives the targets; ablate_teacher of the paper. No number is in the specification.
_base_ = './leopart_dino-vits16_in100.py'
model = dict(use_teacher=False)

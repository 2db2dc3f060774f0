# Ablation: no teacher, the student gives the targets; ablate_teacher of the paper.
_base_ = './leopart_dino-vits16_in100.py'
model = dict(use_teacher=False)

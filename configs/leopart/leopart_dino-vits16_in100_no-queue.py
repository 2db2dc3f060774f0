# Ablation: no queue; ablate_queue of the paper.
_base_ = './leopart_dino-vits16_in100.py'
model = dict(head=dict(queue=None))

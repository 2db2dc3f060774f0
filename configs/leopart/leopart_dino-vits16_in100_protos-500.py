# Ablation: 500 prototypes; ablate_protos_500 of the paper.
_base_ = './leopart_dino-vits16_in100.py'
model = dict(head=dict(num_prototypes=500))

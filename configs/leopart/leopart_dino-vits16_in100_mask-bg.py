# Ablation: only background tokens count; ablate_fg_bg of the paper.
_base_ = './leopart_dino-vits16_in100.py'
model = dict(head=dict(mask='bg'))

# Ablation: all tokens count, no foreground mask; ablate_fg_all of the paper.
_base_ = './leopart_dino-vits16_in100.py'
model = dict(head=dict(mask='all'))

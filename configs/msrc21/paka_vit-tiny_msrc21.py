# PaKA on the 279 training images of MSRC-21 (VOC layout) from a supervised ViT-Ti/16, with the crops, colours and
# schedule of Leopart and NeCo there, so that only the loss differs: a run for two CPU cores. Score it with
# retrieval_vit-tiny_msrc21.py and overcluster_k*_vit-tiny_msrc21.py.
_base_ = ['./leopart_vit-tiny_msrc21.py']
model = dict(
    type='leopart_mm.PaKA',
    head=dict(_delete_=True, type='leopart_mm.PaKALoss', kernel=7))

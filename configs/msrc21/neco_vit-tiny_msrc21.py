# NeCo on the 279 training images of MSRC-21 (VOC layout) from a supervised ViT-Ti/16: a run for two CPU cores. Score it
# with retrieval_vit-tiny_msrc21.py and overcluster_k*_vit-tiny_msrc21.py. No published code was run with this setting.
_base_ = ['./leopart_vit-tiny_msrc21.py']
model = dict(
    type='leopart_mm.NeCo',
    head=dict(_delete_=True, type='leopart_mm.NeCoHead', loss=dict(type='leopart_mm.NeCoLoss', kernel=7)))

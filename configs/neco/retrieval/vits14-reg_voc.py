# Dense retrieval on Pascal VOC, ViT-S/14 with registers. NeCo interpolates positions without anti-aliasing; DINOv2's
# own register weights need pos_interp=timm, which backbone=timm://... sets.
_base_ = [
    '../../_base_/models/retrieval.py', '../../_base_/datasets/voc_retrieval.py',
    '../../_base_/evaluation_runtime.py',
]
arch = 'vit_small_patch14_reg4_dinov2'
model = dict(backbone=dict(arch=arch))

# Dense retrieval on Pascal VOC, ViT-B/14: every patch of one pass kept, 13.7 million keys (42 GB; half with
# model.decode_head.key_dtype=float16).
_base_ = [
    '../../_base_/models/retrieval.py', '../../_base_/datasets/voc_retrieval.py',
    '../../_base_/evaluation_runtime.py',
]
arch = 'vit_base_patch14_dinov2'
model = dict(backbone=dict(arch=arch))

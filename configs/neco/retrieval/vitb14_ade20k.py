# Dense retrieval on ADE20K, ViT-B/14: every patch of one pass kept, 26.2 million keys (80 GB; half with
# model.decode_head.key_dtype=float16).
_base_ = [
    '../../_base_/models/retrieval.py', '../../_base_/datasets/ade20k_retrieval.py',
    '../../_base_/evaluation_runtime.py',
]
arch = 'vit_base_patch14_dinov2'
num_classes = 151
model = dict(backbone=dict(arch=arch), decode_head=dict(num_classes=num_classes, ignore_index=0))
test_evaluator = dict(ignore_index=0)

# Dense retrieval on Pascal VOC, ViT-S/14: every patch of one pass kept, 13.7 million keys (21 GB; half with
# model.decode_head.key_dtype=float16). The published memory size, passes and side are not stated.
_base_ = [
    '../../_base_/models/retrieval.py', '../../_base_/datasets/voc_retrieval.py',
    '../../_base_/evaluation_runtime.py',
]

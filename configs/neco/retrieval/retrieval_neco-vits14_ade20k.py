# Dense retrieval on ADE20K, NeCo ViT-S/14: every patch of one pass kept, 26.2 million keys (40 GB; half with
# model.decode_head.key_dtype=float16). Published: about 39.8 mIoU (read off a figure; NeCo from DINOv2R-XR).
_base_ = ['../../_base_/models/retrieval_vits14.py', '../../_base_/datasets/ade20k_retrieval.py',
          '../../_base_/retrieval_runtime.py']
model = dict(decode_head=dict(num_classes=151, ignore_index=0))
test_evaluator = dict(ignore_index=0)

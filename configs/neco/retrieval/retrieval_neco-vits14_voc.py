# Dense retrieval on Pascal VOC, NeCo ViT-S/14: every patch of one pass kept, 13.7 million keys (21 GB; half with
# model.decode_head.key_dtype=float16). Published (repository): 78.6 mIoU from DINOv2, 80.2 mIoU from DINOv2R-XR. Its
# memory size, passes and side are not stated.
_base_ = ['../../_base_/models/retrieval_vits14.py', '../../_base_/datasets/voc_retrieval.py',
          '../../_base_/retrieval_runtime.py']

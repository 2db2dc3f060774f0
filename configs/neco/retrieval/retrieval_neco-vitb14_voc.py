# Dense retrieval on Pascal VOC, NeCo ViT-B/14: every patch of one pass kept, 13.7 million keys (42 GB; half with
# model.decode_head.key_dtype=float16). Published (repository): 82.8 mIoU from DINOv2, 83.5 mIoU from DINOv2R-XR.
_base_ = './retrieval_neco-vits14_voc.py'
model = dict(backbone=dict(arch='vit_base_patch14_dinov2'))

# Dense retrieval on ADE20K, NeCo ViT-B/14: every patch of one pass kept, 26.2 million keys (80 GB; half with
# model.decode_head.key_dtype=float16).
_base_ = './retrieval_neco-vits14_ade20k.py'
model = dict(backbone=dict(arch='vit_base_patch14_dinov2'))

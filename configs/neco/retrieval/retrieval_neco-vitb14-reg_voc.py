# Dense retrieval on Pascal VOC, NeCo ViT-B/14 with registers. Published (repository): 82.9 mIoU from DINOv2R. NeCo
# interpolates positions without anti-aliasing. For DINOv2's own register weights: model.backbone.pos_interp=timm.
_base_ = './retrieval_neco-vits14_voc.py'
model = dict(backbone=dict(arch='vit_base_patch14_reg4_dinov2'))

# FCN head on frozen Leopart ViT-B/8 features, Pascal VOC. Published: 76.3 mIoU (paper).
_base_ = './fcn_leopart-vits16_voc.py'
checkpoint = 'checkpoints/leopart_vitb8.ckpt'
model = dict(
    backbone=dict(arch='vit_base_patch8_224', checkpoint=checkpoint), decode_head=dict(in_channels=768))

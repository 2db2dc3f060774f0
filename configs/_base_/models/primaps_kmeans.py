# Batch-wise cosine k-means on frozen features of DINO's ViT-S/8 (docs/methods/primaps.md §7): K prototypes that start at
# the principal directions, and a linear probe beside them for reporting. Tests average the features of an image and of
# its mirror image, and sharpen the prototypes' scores by a CRF (§10). Widths follow the backbone.
_base_ = '../network.py'
arch = 'vit_small_patch8_224'
checkpoint = 'checkpoints/dino_deitsmall8_pretrain.pth'
num_classes = 27
model = dict(
    type='leopart_mm.PrototypeSegmentor',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=_base_.mean, std=_base_.std, bgr_to_rgb=True, pad_val=0, seg_pad_val=255,
        size_divisor=1, test_cfg=dict(size_divisor=1)),
    backbone=dict(type='leopart_mm.DenseViT', arch=arch, checkpoint=checkpoint, pos_interp=_base_.pos_interp),
    decode_head=dict(type='leopart_mm.PrototypeHead', num_prototypes=num_classes),
    objective=dict(type='leopart_mm.CosineKMeans'),
    cache='auto',  # features of clean training images, computed once
    linear_probe=dict(num_classes=num_classes),
    postprocessors=dict(crf=dict(type='leopart_mm.DenseCRF')),
    test_cfg=dict(flip=True))

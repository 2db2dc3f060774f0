# NeCo on a folder of images, from DINOv2's ViT-S/14 with registers. Usage:
#   python tools/train.py THIS_FILE --cfg-options data_root=my/images backbone=timm://vit_small_patch14_reg4_dinov2
# (or checkpoint=FILE). Unlike neco_dinov2r-vits14_coco.py: iterations instead of epochs, since a small set has short
# ones, a teacher that follows faster, since there are fewer steps, and the student in 4 parts of the batch, which gives
# the same result (but for drop path) in a quarter of its memory. For quick trials, crops of 224 pixels cost a quarter:
# crop_sizes=224,98.
_base_ = [
    '../_base_/models/neco.py', '../_base_/datasets/unlabelled_multicrop_518.py',
    '../_base_/schedules/selfsup_2k.py', '../_base_/selfsup_runtime.py'
]
data_root = 'data/images'
# Chosen by the number of images unless you give them, see leopart_mm/engine/by_images.py; None: as in this file.
by_images = ['iterations', 'trainable', 'backbone_lr', 'crop_sizes']
arch = 'vit_small_patch14_reg4_dinov2'
checkpoint = 'checkpoints/dinov2_vits14_reg4_pretrain.pth'
model = dict(backbone=dict(arch=arch, class_position=True, checkpoint=checkpoint), micro_batches=4)
train_dataloader = dict(
    num_workers=4,
    sampler=dict(_delete_=True, type='leopart_mm.InfiniteDrawSampler', shuffle=True),
    dataset=dict(data_root=data_root))
# Says at the end, without labels, whether the features have become better, stops when they have become worse, and keeps
# the best of ten checks or the start in best_by_verdict.pth: docs/verdict.md.
default_hooks = dict(verdict=dict(type='leopart_mm.VerdictHook', checks=10))

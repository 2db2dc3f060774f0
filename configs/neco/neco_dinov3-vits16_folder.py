# NeCo on a folder of images, from DINOv3's ViT-S/16. Usage:
#   python tools/train.py THIS_FILE --cfg-options data_root=my/images backbone=timm://vit_small_patch16_dinov3.lvd1689m
# (or checkpoint=FILE; checkpoint=None starts from random weights). As neco_dinov2r-vits14_folder.py but for the network
# and crops of whole patches. The colours of its LVD-1689M weights are ImageNet's, as in _base_/network.py; those of
# weights trained on satellite images are others, which `backbone=` sets (timm://vit_large_patch16_dinov3.sat493m), or
# arch=vit_large_patch16_dinov3.sat493m beside backbone=FILE. For quick trials: crop_sizes=224,96
_base_ = [
    '../_base_/models/neco.py', '../_base_/datasets/unlabelled_multicrop_512.py',
    '../_base_/schedules/selfsup_2k.py', '../_base_/selfsup_runtime.py'
]
data_root = 'data/images'
# Chosen by the number of images unless you give them, see leopart_mm/engine/by_images.py; None: as in this file.
by_images = ['iterations', 'trainable', 'backbone_lr', 'crop_sizes']
arch = 'vit_small_patch16_dinov3.lvd1689m'
checkpoint = 'checkpoints/dinov3_vits16_pretrain_lvd1689m.pth'
model = dict(backbone=dict(arch=arch, checkpoint=checkpoint), micro_batches=4)
train_dataloader = dict(
    num_workers=4,
    sampler=dict(_delete_=True, type='leopart_mm.InfiniteDrawSampler', shuffle=True),
    dataset=dict(data_root=data_root))
# Says at the end, without labels, whether the features have become better, stops when they have become worse, and keeps
# the best of ten checks or the start in best_by_verdict.pth: docs/verdict.md.
default_hooks = dict(verdict=dict(type='leopart_mm.VerdictHook', checks=10))

# Leopart on a folder of images, from a DINO ViT-S/16. Usage:
#   python tools/train.py THIS_FILE --cfg-options data_root=my/images backbone=timm://vit_small_patch16_224.dino
# (or checkpoint=FILE) and iterations=... for another length. Unlike leopart_dino-vits16_coco.py: iterations instead of
# epochs, since a small set has short ones; every patch counts instead of the attention's foreground, since satellite or
# medical images may have none; no queue, which only helps batches smaller than this one.
_base_ = [
    '../_base_/models/leopart.py', '../_base_/datasets/unlabelled_multicrop.py',
    '../_base_/schedules/selfsup_2k.py', '../_base_/selfsup_runtime.py'
]
data_root = 'data/images'
# Chosen by the number of images unless you give them, see leopart_mm/engine/by_images.py; None: as in this file.
by_images = ['iterations', 'trainable', 'backbone_lr', 'crop_sizes']
model = dict(head=dict(mask='all', queue=None))
train_dataloader = dict(
    num_workers=4,
    sampler=dict(_delete_=True, type='leopart_mm.InfiniteDrawSampler', shuffle=True),
    dataset=dict(data_root=data_root))
# Says at the end, without labels, whether the features have become better, stops when they have become worse, and keeps
# the best of ten checks or the start in best_by_verdict.pth: docs/verdict.md.
default_hooks = dict(verdict=dict(type='leopart_mm.VerdictHook', checks=10))

# The network: DINO's ViT-S/16 and ImageNet's colour statistics (RGB, 0..255). Models take what they need from here.
# `--cfg-options backbone=timm://NAME.TAG`, or `backbone=FILE arch=NAME`, sets all of it at once.
arch = 'vit_small_patch16_224'
pos_interp = 'dino'
mean = [123.675, 116.28, 103.53]
std = [58.395, 57.12, 57.375]

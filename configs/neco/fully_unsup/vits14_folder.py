# Fully unsupervised segmentation of any folder of images with ViT-S/14 features, without lists, masks and scores, as
# configs/leopart/fully_unsup/vits16_folder.py.
_base_ = '../../leopart/fully_unsup/vits16_folder.py'
arch = 'vit_small_patch14_dinov2'
model = dict(backbone=dict(arch=arch))

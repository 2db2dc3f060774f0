# Clusters of ViT-S/14 features on any folder of images, without lists, masks and scores, as
# configs/leopart/overcluster/vits16_folder.py.
_base_ = '../../leopart/overcluster/vits16_folder.py'
arch = 'vit_small_patch14_dinov2'
model = dict(backbone=dict(arch=arch))

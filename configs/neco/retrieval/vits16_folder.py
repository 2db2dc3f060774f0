# Dense retrieval from a few examples with ViT-S/16 features, as vits14_folder.py.
_base_ = './vits14_folder.py'
arch = 'vit_small_patch16_224'
model = dict(backbone=dict(arch=arch))

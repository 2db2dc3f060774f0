# Clusters of masks in 180 images of VOC by the class tokens of a supervised ViT-Ti/16; as clusters_dino-vits8_voc.py.
_base_ = './clusters_dino-vits8_voc.py'
arch = 'vit_tiny_patch16_224'
pos_interp = 'timm'
mean = std = [127.5] * 3
checkpoint = 'checkpoints/vit_tiny_patch16_224_in21k_in1k_fp16.safetensors'
data_root = 'data/VOCdevkit/VOC2012/JPEGImages'
num_clusters = 20
model = dict(
    data_preprocessor=dict(mean=mean, std=std), backbone=dict(arch=arch, checkpoint=checkpoint, pos_interp=pos_interp))
mask_clusters = dict(data_root=data_root, num_clusters=num_clusters, num_workers=1)

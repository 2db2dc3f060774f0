# The baseline, batch-wise cosine k-means, on Potsdam-3: features of DINO ViT-B/8 at 320 x 320. Its epochs are not
# stated: 50, as EM. With epochs=2 it gives the first prototypes of PriMaPs-EM. Rates, EMA and epochs are not stated for
# this data set: those of Cityscapes with DINO are taken.
_base_ = [
    '../_base_/models/primaps_kmeans.py', '../_base_/datasets/potsdam3_kmeans.py',
    '../_base_/schedules/primaps_kmeans_50e.py', '../_base_/primaps_scores.py', '../_base_/probe_runtime.py'
]
arch = 'vit_base_patch8_224'
checkpoint = 'checkpoints/dino_vitbase8_pretrain.pth'
num_classes = 3
model = dict(
    backbone=dict(arch=arch, checkpoint=checkpoint),
    decode_head=dict(num_prototypes=num_classes),
    linear_probe=dict(num_classes=num_classes))

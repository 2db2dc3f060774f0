# Clusters of MaskDistill's masks (docs/methods/maskdistill.md §5): class tokens of DINO's ViT-S/8, whitened, by
# mini-batch k-means into VOC's 20 classes (COCO: num_clusters=80). Usage:
#   python tools/cluster_masks.py MASKS.json --out OUT.json --images data/VOC2012/JPEGImages
_base_ = '../_base_/network.py'
default_scope = 'mmseg'
custom_imports = dict(imports=['leopart_mm'], allow_failed_imports=False)
arch = 'vit_small_patch8_224'
checkpoint = 'checkpoints/dino_deitsmall8_pretrain.pth'
data_root = 'data/VOC2012/JPEGImages'
num_clusters = 20
randomness = dict(seed=1234)
model = dict(
    data_preprocessor=dict(type='SegDataPreProcessor', mean=_base_.mean, std=_base_.std, bgr_to_rgb=True),
    backbone=dict(type='leopart_mm.DenseViT', arch=arch, checkpoint=checkpoint, pos_interp=_base_.pos_interp))
mask_clusters = dict(
    data_root=data_root,
    num_clusters=num_clusters,
    overcluster=1,  # clusters per class
    seed=randomness['seed'],
    n_init=3,  # starts of k-means; newer releases of scikit-learn take one by themselves
    batch_size=1000,
    whitened=True,
    max_side=1024,  # crops with a longer side, which VOC and COCO do not have, are made smaller; None: none
    crops_per_batch=16,
    num_workers=4)

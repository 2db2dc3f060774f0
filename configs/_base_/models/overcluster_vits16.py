# Overclustering of ViT-S/16 patch features (docs/methods/leopart.md §8): standardised, PCA to 50 dimensions, k-means with 500
# clusters for each of five seeds.
data_preprocessor = dict(
    type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
    pad_val=0, seg_pad_val=255, size_divisor=1, test_cfg=dict(size_divisor=1))
model = dict(
    type='leopart_mm.UnsupervisedSegmentor',
    data_preprocessor=data_preprocessor,
    backbone=dict(type='leopart_mm.DenseViT', arch='vit_small_patch16_224'),
    decode_head=dict(type='leopart_mm.OverclusterHead', num_clusters=500, seeds=5, pca_dim=50, niter=100, nredo=5,
                     max_points_per_centroid=256))

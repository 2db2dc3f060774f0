# Overclustering of patch features (docs/methods/leopart.md §8): standardised, PCA to 50 dimensions, k-means for each of
# five seeds; fitted on the test images (transductive, as published), scored at 100 x 100. As many clusters as classes
# are matched by Hungarian, others each to the class that it is most precise for.
_base_ = '../network.py'
num_clusters = 500
model = dict(
    type='leopart_mm.UnsupervisedSegmentor',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=_base_.mean, std=_base_.std, bgr_to_rgb=True, pad_val=0, seg_pad_val=255,
        size_divisor=1, test_cfg=dict(size_divisor=1)),
    backbone=dict(type='leopart_mm.DenseViT', arch=_base_.arch, pos_interp=_base_.pos_interp),
    decode_head=dict(type='leopart_mm.OverclusterHead', num_clusters=num_clusters, seeds=5, pca_dim=50, niter=100,
                     nredo=5, max_points_per_centroid=256))
test_cfg = dict(type='leopart_mm.FitTestLoop')
test_evaluator = dict(type='leopart_mm.ClusterMetric', matching='auto', eval_size=(100, 100))

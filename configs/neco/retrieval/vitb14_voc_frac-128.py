# Dense retrieval on Pascal VOC, ViT-B/14, with 1/128 of the training images: 80, a random choice of this seed.
# (The published lists have ids 42, 400, 783, 1293, 4019; give one as ann_file.) Fractions of one seed are nested.
_base_ = './vitb14_voc.py'
num_samples = 80
subset_seed = 42
test_cfg = dict(fit_dataloader=dict(dataset=dict(num_samples=num_samples, subset_seed=subset_seed)))

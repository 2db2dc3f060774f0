# Dense retrieval on Pascal VOC, ViT-S/14, with 1/64 of the training images: 160, a random choice of this seed.
# (The published lists have ids 42, 400, 783, 1293, 4019; give one as ann_file.) Fractions of one seed are nested.
_base_ = './vits14_voc.py'
num_samples = 160
subset_seed = 42
test_cfg = dict(fit_dataloader=dict(dataset=dict(num_samples=num_samples, subset_seed=subset_seed)))

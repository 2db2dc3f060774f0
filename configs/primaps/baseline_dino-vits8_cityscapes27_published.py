# The baseline as baseline_dino-vits8_cityscapes27.py, with all that the published code does otherwise: PCA reads the
# first 93 batches; the probe's loss is divided by all pixels; bytes for the CRF are cut off; tests are not anti-aliased.
# With epochs=2 it gives the first prototypes of primaps_dino-vits8_cityscapes27_published.py.
_base_ = [
    '../_base_/models/primaps_kmeans.py', '../_base_/datasets/cityscapes27_kmeans.py',
    '../_base_/schedules/primaps_kmeans_50e.py', '../_base_/primaps_scores.py', '../_base_/probe_runtime.py'
]
test_pipeline = [
    _base_.load_image, _base_.load_labels, dict(_base_.resize, method='aliased'), _base_.crop, _base_.keep_size,
    _base_.pack
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_dataloader = test_dataloader
model = dict(probe_divisor='all', postprocessors=dict(crf=dict(bytes='truncate')))
custom_hooks = [
    dict(type='leopart_mm.StepSeedHook'),
    dict(type='leopart_mm.PrototypeHook', num_batches=93),
    dict(type='leopart_mm.HealthHook'),
    dict(type='leopart_mm.BackboneCheckpointHook'),
]

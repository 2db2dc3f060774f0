# PriMaPs-EM on Cityscapes-27 as primaps_dino-vits8_cityscapes27.py, with all that the published code does otherwise:
# signs of directions as the library gives them, anchors on removed cells, broken masks and bytes that are cut off;
# losses divided by all pixels; a student whose colours are changed after normalising; tests without anti-aliasing; and
# the checkpoint that scores best on the labels of the validation images: tools/primaps.py tests that one, best_*.pth.
_base_ = [
    '../_base_/models/primaps.py', '../_base_/datasets/cityscapes27_primaps.py',
    '../_base_/schedules/primaps_50e.py', '../_base_/primaps_scores.py', '../_base_/probe_runtime.py'
]
initialisation = 'baseline_dino-vits8_cityscapes27_published.py'
proposals = dict(
    orientation='library', anchor='any', no_mask='nan', erased='nan', single_background='rows', max_masks=None,
    crf=dict(bytes='truncate'))
test_pipeline = [
    _base_.load_image, _base_.load_labels, dict(_base_.resize, method='aliased'), _base_.crop, _base_.keep_size,
    _base_.pack
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_dataloader = test_dataloader
model = dict(
    objective=dict(divisor='all'),
    probe_divisor='all',
    student_augmentation=dict(before_normalize=False),
    postprocessors=dict(crf=dict(bytes='truncate')))
default_hooks = dict(checkpoint=dict(save_best='momentum/mIoU_defined', rule='greater'))

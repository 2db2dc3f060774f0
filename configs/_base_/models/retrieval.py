# Dense nearest-neighbour retrieval on DINOv2's ViT-S/14 (docs/methods/neco.md §8): 30 neighbours, temperature 0.02,
# every patch kept. Blue is divided by 0.225, as in training; the published code has 0.255 there (std[2] = 65.025).
# mIoU compares class names without any matching; hungarian/mIoU is the published score, which can only be higher. Both
# leave out classes that cannot occur (count_ignored=True counts them as 0, as published).
_base_ = '../network.py'
arch = 'vit_small_patch14_dinov2'
num_classes = 21
model = dict(
    type='leopart_mm.RetrievalSegmentor',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=_base_.mean, std=_base_.std, bgr_to_rgb=True, pad_val=0, seg_pad_val=255,
        size_divisor=1, test_cfg=dict(size_divisor=1)),
    backbone=dict(type='leopart_mm.DenseViT', arch=arch, pos_interp=_base_.pos_interp),
    decode_head=dict(type='leopart_mm.RetrievalHead', num_classes=num_classes, k=30, temperature=0.02,
                     memory_size=None, passes=1, void='exclude'))
test_evaluator = dict(type='leopart_mm.ClusterMetric', matching=['direct', 'hungarian'])

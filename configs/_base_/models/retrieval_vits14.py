# Dense nearest-neighbour retrieval on DINOv2's ViT-S/14 (docs/methods/neco.md §8): 30 neighbours, temperature 0.02, every patch
# kept. Blue is divided by 0.225, as in training; the published code has 0.255 there (std[2] = 65.025).
data_preprocessor = dict(
    type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
    pad_val=0, seg_pad_val=255, size_divisor=1, test_cfg=dict(size_divisor=1))
model = dict(
    type='leopart_mm.RetrievalSegmentor',
    data_preprocessor=data_preprocessor,
    backbone=dict(type='leopart_mm.DenseViT', arch='vit_small_patch14_dinov2'),
    decode_head=dict(type='leopart_mm.RetrievalHead', num_classes=21, k=30, temperature=0.02, memory_size=None,
                     passes=1, void='exclude'))

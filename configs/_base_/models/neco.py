# NeCo on DINOv2's ViT-S/14 (docs/methods/neco.md §3 to §5); references come from a queue of past patches.
# Widths follow the backbone.
_base_ = '../network.py'
arch = 'vit_small_patch14_dinov2'
checkpoint = 'checkpoints/dinov2_vits14_pretrain.pth'
trainable = 'all'  # of the backbone; or last_N (its last N blocks), lora, lora_RANK, lora_RANK_ALPHA
model = dict(
    type='leopart_mm.NeCo',
    data_preprocessor=dict(type='leopart_mm.MultiCropDataPreprocessor', mean=_base_.mean, std=_base_.std),
    backbone=dict(type='leopart_mm.DenseViT', arch=arch, checkpoint=checkpoint, pos_interp=_base_.pos_interp,
                  drop_path_rate=0.1, trainable=trainable),
    neck=dict(type='leopart_mm.ProjectionHead', hidden_channels=2048, out_channels=256, num_layers=3),
    head=dict(
        type='leopart_mm.NeCoLoss', kernel=7, network='bitonic', relaxation='cauchy', student_steepness=100.,
        teacher_steepness=100., similarity='cosine', mask='all', queue=dict(length=8192)))

# Leopart on a ViT-S/16 (docs/methods/leopart.md §3 to §5). Widths follow the backbone.
_base_ = '../network.py'
checkpoint = 'checkpoints/dino_deitsmall16_pretrain.pth'
trainable = 'all'  # of the backbone; or last_N (its last N blocks), lora, lora_RANK, lora_RANK_ALPHA
model = dict(
    type='leopart_mm.Leopart',
    data_preprocessor=dict(type='leopart_mm.MultiCropDataPreprocessor', mean=_base_.mean, std=_base_.std),
    backbone=dict(type='leopart_mm.DenseViT', arch=_base_.arch, checkpoint=checkpoint, pos_interp=_base_.pos_interp,
                  drop_path_rate=0.1, trainable=trainable),
    neck=dict(type='leopart_mm.ProjectionHead', hidden_channels=2048, out_channels=256, num_layers=3),
    head=dict(
        type='leopart_mm.LeopartLoss', num_prototypes=300, epsilon=0.05, iterations=3, temperature=0.1, kernel=7,
        mask='fg', queue=dict(length=8192)))

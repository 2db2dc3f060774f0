# The published protocol of "+CD" to the letter. It is not label-free: CBFE's threshold is chosen with the ground truth
# of train. Noisy masks are those of DINO ViT-S/16.
_base_ = '../_base_/fully_unsup.py'
dino = 'checkpoints/dino_deitsmall16_pretrain.pth'
model = dict(
    postprocessors=dict(
        foreground=dict(
            threshold='published', threshold_split='train', per_split=True,
            masks=dict(backbone=dict(type='leopart_mm.DenseViT', arch='vit_small_patch16_224', checkpoint=dino)))))

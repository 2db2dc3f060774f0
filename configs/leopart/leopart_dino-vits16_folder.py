# Leopart on a folder of one's own images, from a DINO ViT-S/16. All it needs:
#   python tools/train.py THIS_FILE --cfg-options data_root=my/images checkpoint=dino_deitsmall16_pretrain.pth
# Unlike leopart_dino-vits16_coco.py: iterations instead of epochs, since a small set has short
# ones; every patch counts instead of the attention's foreground, since satellite or medical images may have none; no
# queue, which only helps batches smaller than this one.
_base_ = [
    '../_base_/models/leopart_vits16.py', '../_base_/datasets/unlabelled_multicrop.py',
    '../_base_/schedules/leopart_50e.py', '../_base_/selfsup_runtime.py'
]
data_root = 'data/images'
iterations = 2000
model = dict(head=dict(loss=dict(mask='all', queue=None)))
train_dataloader = dict(
    num_workers=4,
    sampler=dict(_delete_=True, type='leopart_mm.InfiniteDrawSampler', shuffle=True),
    dataset=dict(data_root=data_root))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=iterations, eta_min=0., by_epoch=False, begin=0, end=iterations),
    dict(type='CosineAnnealingWeightDecay', T_max=iterations, eta_min=0.5, by_epoch=False, begin=0, end=iterations),
]
train_cfg = dict(_delete_=True, type='leopart_mm.ResumableIterLoop', max_iters=iterations)
log_processor = dict(by_epoch=False)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(by_epoch=False, interval=500, max_keep_ckpts=3))
custom_hooks = [
    dict(type='leopart_mm.StepSeedHook'),
    dict(type='leopart_mm.EMATeacherHook', momentum=0.996, end_momentum=1.),
    dict(type='leopart_mm.HealthHook'),
    dict(type='leopart_mm.BackboneCheckpointHook'),
]

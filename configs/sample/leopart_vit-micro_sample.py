# Leopart on the generated sample scenes (tools/generate_sample.py): a micro ViT of 0.4 M parameters, made for two CPU
# cores. What `make demo` trains; figures: docs/measured.md. Start weights: those that come along,
# docs/sample_network.md; tools/demo.py gives them.
_base_ = ['../_base_/models/leopart.py', '../_base_/schedules/leopart_50e.py', '../_base_/selfsup_runtime.py']
data_root = 'data/sample'
arch = 'vit_tiny_patch16_224'
checkpoint = None
iterations = 200
model = dict(
    backbone=dict(arch=arch, checkpoint=checkpoint, drop_path_rate=0.,
                  model_kwargs=dict(img_size=96, patch_size=8, embed_dim=96, depth=3, num_heads=3)),
    neck=dict(hidden_channels=256, out_channels=64, num_layers=1),
    head=dict(_delete_=True, type='leopart_mm.LeopartLoss', num_prototypes=60))
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='leopart_mm.InfiniteDrawSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='leopart_mm.UnlabelledImages', data_root=data_root,
        ann_file='ImageSets/Segmentation/train.txt', data_prefix=dict(img_path='JPEGImages'),
        pipeline=[
            dict(type='leopart_mm.LoadImage'),
            dict(type='leopart_mm.RoIAlignedMultiCrop', sizes=(96, 48)),
            dict(type='leopart_mm.DrawPhotometric', jitter=0.4, blur=0.5),
            dict(type='leopart_mm.PackMultiCrop'),
        ]))
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(head_lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10),
    dict(type='CosineAnnealingLR', T_max=iterations, eta_min=0., by_epoch=False, begin=0, end=iterations),
]
train_cfg = dict(_delete_=True, type='leopart_mm.ResumableIterLoop', max_iters=iterations)
log_processor = dict(by_epoch=False, window_size=10)
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(by_epoch=False, interval=iterations))
custom_hooks = [
    dict(type='leopart_mm.StepSeedHook'),
    dict(type='leopart_mm.SelfSupStepHook', momentum=0.99, end_momentum=1.),
    dict(type='leopart_mm.HealthHook'),
]

# NeCo from DINOv2 ViT-S/14 as neco_dinov2-vits14_coco.py, with all that the published code does otherwise: heads of
# student and teacher drawn apart, a teacher one step behind, and a queue that counts twice and stays on its process.
_base_ = './_base_/coco_518.py'
model = dict(
    teacher_init='independent',
    head=dict(published_network=True, published_candidates=True, mask_threshold=1., distributed=False,
              queue=dict(counting='shared', gather=False)))
custom_hooks = [
    dict(type='leopart_mm.StepSeedHook'),
    dict(type='leopart_mm.SelfSupStepHook', momentum=0.9995, end_momentum=1., before_optimizer=True),
    dict(type='leopart_mm.HealthHook'),
]

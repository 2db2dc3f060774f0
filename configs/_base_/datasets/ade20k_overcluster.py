# ADE20K validation: 150 classes, and label 0, which is no class: set ignore_index=0 in the metric. Images and masks
# resized to 448 x 448, aspect ignored (NeCo, sec. 7.1); the metric then takes both to 100 x 100.
data_root = 'data/ade/ADEChallengeData2016'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=(448, 448), keep_ratio=False),
    dict(type='PackSegInputs'),
]
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='leopart_mm.ADE20K151', split='validation', data_root=data_root, pipeline=test_pipeline,
                 test_mode=True))

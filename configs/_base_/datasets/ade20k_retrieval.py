# Dense retrieval on ADE20K (NeCo, sec. 8.1): training fills the memory, validation is scored at 504 x 504, aspect
# ignored. Label 0 is no class: set ignore_index=0 in head and metric. Passes as in voc_retrieval.py.
data_root = 'data/ade/ADEChallengeData2016'
side = 504  # 36 patches of 14
fit_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='leopart_mm.RandomColourJitter', brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1, prob=0.5),
    dict(type='leopart_mm.SegRandomResizedCrop', size=side, scale=(0.5, 2.), rule='corner'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(side, side), keep_ratio=False, backend='pillow'),  # anti-aliased
    dict(type='LoadAnnotations'),
    dict(type='leopart_mm.ResizeSegMap', size=(side, side), rule='corner'),
    dict(type='leopart_mm.KeepNetworkSize'),
    dict(type='PackSegInputs'),
]
test_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='leopart_mm.ADE20K151', split='validation', data_root=data_root, pipeline=test_pipeline,
                 test_mode=True))
fit_dataloader = dict(
    batch_size=16,
    num_workers=4,
    sampler=dict(type='leopart_mm.DrawSampler', shuffle=False, round_up=False),
    dataset=dict(type='leopart_mm.ADE20K151', split='training', data_root=data_root, pipeline=fit_pipeline,
                 test_mode=True))
test_cfg = dict(type='leopart_mm.FitTestLoop', fit_dataloader=fit_dataloader)

# Overclustering of a part of VOC val during training (docs/methods/leopart.md §7): 10 batches of 32, features resized
# to 100 x 100; K = 500 and 300 matched by precision and by IoU, K = 21 by Hungarian. --no-validate leaves it out.
val_data_root = 'data/VOCdevkit/VOC2012'
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='leopart_mm.VOCLayoutDataset', data_root=val_data_root, split='val', num_samples=320, test_mode=True,
        pipeline=[
            dict(type='mmcv.LoadImageFromFile'),
            dict(type='mmseg.LoadAnnotations'),
            dict(type='mmcv.Resize', scale=(448, 448), keep_ratio=False),
            dict(type='mmseg.PackSegInputs'),
        ]))
val_evaluator = dict(type='leopart_mm.ClusterMetric', matching=['auto', 'iou'], eval_size=(100, 100))
val_cfg = dict(
    type='leopart_mm.FitValLoop',
    num_clusters=(500, 300, 21),
    segmentor=dict(
        type='leopart_mm.UnsupervisedSegmentor',
        decode_head=dict(type='leopart_mm.OverclusterHead', num_clusters=500, seeds=(1, ), niter=50, nredo=5,
                         feature_size=(100, 100))))

# Dense retrieval on Pascal VOC (docs/methods/neco.md §8.1): trainaug fills the memory, val is scored at 504 x 504,
# aspect ignored. Every pass (RetrievalHead's passes) jitters and crops the images again, reproducibly with DrawSampler.
data_root = 'data/VOCdevkit/VOC2012'
train_split = 'trainaug'  # plain VOC 2012: train_split=train train_masks=SegmentationClass
train_masks = 'SegmentationClassAug'
side = 504  # 36 patches of 14
load_image = dict(type='LoadImageFromFile')
load_labels = dict(type='LoadAnnotations')
jitter = dict(type='leopart_mm.RandomColourJitter', brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1, prob=0.5)
crop = dict(type='leopart_mm.SegRandomResizedCrop', size=side, scale=(0.5, 2.), rule='corner')
resize = dict(type='Resize', scale=(side, side), keep_ratio=False, backend='pillow')  # anti-aliased
resize_labels = dict(type='leopart_mm.ResizeSegMap', size=(side, side), rule='corner')
keep_size = dict(type='leopart_mm.KeepNetworkSize')
pack = dict(type='PackSegInputs')
fit_pipeline = [load_image, load_labels, jitter, crop, pack]
test_pipeline = [load_image, resize, load_labels, resize_labels, keep_size, pack]
test_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='leopart_mm.VOCLayoutDataset', split='val', data_root=data_root, pipeline=test_pipeline,
                 test_mode=True))
fit_dataloader = dict(
    batch_size=16,
    num_workers=4,
    sampler=dict(type='leopart_mm.DrawSampler', shuffle=False, round_up=False),
    dataset=dict(type='leopart_mm.VOCLayoutDataset', split=train_split, data_root=data_root,
                 data_prefix=dict(seg_map_path=train_masks), pipeline=fit_pipeline, test_mode=True))
test_cfg = dict(type='leopart_mm.FitTestLoop', fit_dataloader=fit_dataloader)

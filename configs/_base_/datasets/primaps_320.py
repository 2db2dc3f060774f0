# PriMaPs-EM's images (docs/methods/primaps.md §2): the shorter side to `size`, the square in its middle. By Pillow for
# proposals and training, without rounding for tests; published tests are not anti-aliased (val_resize=aliased). Data
# sets come from files that inherit from this one. Patches of 14 need primaps_322.py.
size = 320  # 40 patches of 8
val_resize = 'float'
proposal_folder = 'proposals'  # what tools/generate_masks.py wrote; published: one per data set and backbone
load_image = dict(type='LoadImageFromFile')
load_labels = dict(type='LoadAnnotations')
resize = dict(type='leopart_mm.ResizeShorterSide', size=size, method='pillow')
crop = dict(type='leopart_mm.CentreCrop', size=size)
load_proposals = dict(type='leopart_mm.LoadProposals', folder=proposal_folder)
flip = dict(type='leopart_mm.SegRandomFlip', prob=0.5)
draw = dict(type='leopart_mm.DrawStudentAugmentation')
keep_size = dict(type='leopart_mm.KeepNetworkSize')
meta_keys = ('img_path', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip', 'flip_direction',
             'student_draws', 'crop_box')
pack = dict(type='PackSegInputs', meta_keys=meta_keys)
pack_proposals = dict(type='leopart_mm.PackProposals', meta_keys=meta_keys)
proposal_pipeline = [load_image, resize, crop, pack]
kmeans_pipeline = [load_image, load_labels, resize, crop, pack]
train_pipeline = [load_image, load_labels, resize, crop, load_proposals, flip, draw, pack_proposals]
test_pipeline = [load_image, load_labels, dict(resize, method=val_resize), crop, keep_size, pack]
proposal_dataloader = dict(batch_size=32, num_workers=4, dataset=dict(pipeline=proposal_pipeline))
train_dataloader = dict(
    batch_size=32,  # in total
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='leopart_mm.DrawSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(pipeline=test_pipeline, test_mode=True))
val_dataloader = test_dataloader

# MaskDistill's masks (docs/methods/maskdistill.md §2-4): one per image of VOC2012 trainval (11 540 images), of the keys
# of DINO's ViT-S/16, last block; shorter side 640 pixels. Usage:
#   python tools/generate_masks.py THIS_FILE --out masks/voc2012
# Then masks/voc2012/annotations.json is what tools/cluster_masks.py takes. proposals.shape=polygons and
# proposals.first_id=0 write the file as published.
_base_ = '../_base_/network.py'
default_scope = 'mmseg'
custom_imports = dict(imports=['leopart_mm'], allow_failed_imports=False)
arch = 'vit_small_patch16_224'
checkpoint = 'checkpoints/dino_deitsmall16_pretrain.pth'
data_root = 'data/VOCdevkit/VOC2012'
ann_file = f'{data_root}/ImageSets/Main/trainval.txt'
short_side = 640
randomness = dict(seed=0)  # nothing is drawn
model = dict(
    data_preprocessor=dict(type='SegDataPreProcessor', mean=_base_.mean, std=_base_.std, bgr_to_rgb=True),
    backbone=dict(type='leopart_mm.DenseViT', arch=arch, checkpoint=checkpoint, pos_interp=_base_.pos_interp))
proposals = dict(
    type='leopart_mm.ObjectSeedProposals',
    heads=5,
    topk=0.4,
    mass=0.5,
    block=-1,
    center_keys=False,
    softmax=False,
    compat=False,  # True: the published rules for scores of negative sum
    threshold=0)
pipeline = [
    dict(type='leopart_mm.LoadImage'),
    dict(type='leopart_mm.ResizeShorterSide', size=short_side),
    dict(type='PackSegInputs'),
]
proposal_dataloader = dict(
    batch_size=8,
    num_workers=4,
    dataset=dict(
        type='leopart_mm.UnlabelledImages', data_root=f'{data_root}/JPEGImages', ann_file=ann_file, pipeline=pipeline))

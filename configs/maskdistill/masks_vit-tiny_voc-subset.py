# MaskDistill's masks of 180 images of VOC from a supervised ViT-Ti/16, for two CPU cores: shorter side 320 pixels. Its
# keys point to one side everywhere, so the published rule gives the whole image; centred keys of block 5 and softmax
# scores give objects (docs/methods/maskdistill.md §3). Ours, not published.
#   python tools/generate_masks.py THIS_FILE --out masks/voc --cfg-options data_root=VOC2012 checkpoint=FILE
_base_ = './masks_dino-vits16_voc.py'
arch = 'vit_tiny_patch16_224'
pos_interp = 'timm'
mean = std = [127.5] * 3
checkpoint = 'checkpoints/vit_tiny_patch16_224_in21k_in1k_fp16.safetensors'
data_root = 'data/VOCdevkit/VOC2012'
ann_file = f'{data_root}/ImageSets/Segmentation/train.txt'
short_side = 320
model = dict(
    data_preprocessor=dict(mean=mean, std=std), backbone=dict(arch=arch, checkpoint=checkpoint, pos_interp=pos_interp))
proposals = dict(block=5, center_keys=True, softmax=True)
pipeline = [
    dict(type='leopart_mm.LoadImage'),
    dict(type='leopart_mm.ResizeShorterSide', size=short_side),
    dict(type='PackSegInputs'),
]
proposal_dataloader = dict(
    num_workers=1, dataset=dict(data_root=f'{data_root}/JPEGImages', ann_file=ann_file, pipeline=pipeline))

# DeepLabv3 as MaskDistill trains it (docs/methods/maskdistill.md §8): ResNet-50 of output stride 8 with the stem and two
# stages frozen, torchvision's head, OHEM cross-entropy, on images with label maps of tools/generate_pseudo_labels.py or
# tools/label_images.py, at 512 x 512 whatever their shape. Scored on VOC's val: labels of 512 x 512 come to the size of
# the image (nearest, §11) and keep the names that the categories have; matching=hungarian where these are raw clusters.
# crf=True: labels come from the logits at the size of the image, through a CRF (§9.1; 10 iterations, sigmas 1, 67, 3).
_base_ = ['../../_base_/network.py', '../../_base_/schedules/deeplab_45e.py', '../../_base_/default_runtime.py']
default_scope = 'mmseg'
sync_bn = 'torch'  # MMEngine converts BN layers where several processes train
checkpoint = 'checkpoints/moco_v2_800ep_pretrain.pth.tar'  # MoCo, DINO, SwAV, torchvision, ...
num_classes = 21  # background included
data_root = 'data/VOCdevkit/VOC2012'
label_folder = 'work_dirs/maskdistill/voc/labels'
batch_size = 16  # of all processes together: --cfg-options batch_size=8 for each of 2 GPUs
num_workers = 4
size = (512, 512)
border = 255  # label of what comes from outside when an image is turned: ignored. Published: 0, background
matching = 'direct'
crf = False
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='leopart_mm.SegRandomFlip', prob=0.5),
    dict(type='leopart_mm.SegRandomAffine', rotation=5., scale=(0.75, 1.25), border=border),
    dict(type='Resize', scale=size, keep_ratio=False, interpolation='bicubic'),
    dict(type='PackSegInputs'),
]
pixel_pipeline = [  # logits come to the size of the image
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=size, keep_ratio=False, interpolation='bicubic'),
    dict(type='LoadAnnotations'),  # after Resize: masks keep their size
    dict(type='PackSegInputs', meta_keys=('img_path', 'seg_map_path', 'ori_shape', 'img_shape', 'pad_shape',
                                          'scale_factor', 'value_range', 'nodata')),
]
network_pipeline = [*pixel_pipeline[:3], dict(type='leopart_mm.KeepNetworkSize'), pixel_pipeline[3]]
test_pipeline = pixel_pipeline if crf else network_pipeline
postprocessors = dict(crf=dict(type='leopart_mm.DenseCRF'))
embed_dims = 2048
frozen_stages = 2
share = 0.2  # of all pixels, the hardest, which are learned from
joint = True  # chosen among the pixels of all processes; published: of each process by itself
model = dict(
    type='leopart_mm.PostprocessedEncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=_base_.mean, std=_base_.std, bgr_to_rgb=True, pad_val=0, seg_pad_val=255,
        size_divisor=1, test_cfg=dict(size_divisor=1)),
    backbone=dict(
        type='leopart_mm.DenseResNet', depth=50, output_stride=8, checkpoint=checkpoint, frozen_stages=frozen_stages,
        norm_eval=False),
    decode_head=dict(
        type='leopart_mm.DeepLabHead', in_channels=embed_dims, channels=256, rates=(12, 24, 36), dropout_ratio=0.5,
        in_index=0, num_classes=num_classes, align_corners=False,
        loss_decode=dict(type='leopart_mm.OHEMCrossEntropyLoss', share=share, joint=joint)),
    postprocessors=postprocessors if crf else dict(),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=num_workers > 0,
    drop_last=True,
    sampler=dict(type='leopart_mm.DrawSampler', shuffle=True),
    dataset=dict(
        type='leopart_mm.LabelledImages', data_root=data_root, labels=label_folder,
        data_prefix=dict(img_path='JPEGImages'), num_classes=num_classes, names='pascal_voc',
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=4,
    num_workers=num_workers,
    persistent_workers=num_workers > 0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split='val', pipeline=test_pipeline,
                 test_mode=True))
test_dataloader = val_dataloader
val_evaluator = dict(type='leopart_mm.ClusterMetric', matching=matching, resize='corner')
test_evaluator = val_evaluator

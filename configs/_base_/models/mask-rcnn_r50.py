# Mask R-CNN with ResNet-50 and FPN, as in MMDetection. Settings of MaskDistill's detector are not published
# (docs/methods/maskdistill.md §6): these are ours, the usual ones. checkpoint=FILE: MoCo, DINO, SwAV, torchvision, ...
_base_ = '../network.py'
checkpoint = 'checkpoints/moco_v2_800ep_pretrain.pth.tar'
num_classes = 20
frozen_stages = 1  # the stem and the first stage
norm_eval = False  # statistics are learned, over all processes (sync_bn)
widths = [256, 512, 1024, 2048]
channels = 256  # of every map of the FPN
strides = [4, 8, 16, 32, 64]
score_thr = 0.05
nms_iou = 0.5
max_per_img = 100
box_loss = dict(type='L1Loss', loss_weight=1.0)
train_nms = dict(nms_pre=2000, max_per_img=1000, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0)
model = dict(
    type='MaskRCNN',
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=_base_.mean, std=_base_.std, bgr_to_rgb=True, pad_mask=True,
        pad_size_divisor=32),
    backbone=dict(
        type='leopart_mm.DenseResNet', depth=50, output_stride=32, out_indices=(0, 1, 2, 3), checkpoint=checkpoint,
        frozen_stages=frozen_stages, norm_eval=norm_eval),
    neck=dict(type='FPN', in_channels=widths, out_channels=channels, num_outs=5),
    rpn_head=dict(
        type='RPNHead', in_channels=channels, feat_channels=channels,
        anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0], strides=strides),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0., 0., 0., 0.], target_stds=[1., 1., 1., 1.]),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        loss_bbox=box_loss),
    roi_head=dict(
        type='StandardRoIHead',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor', roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=channels, featmap_strides=strides[:4]),
        bbox_head=dict(
            type='Shared2FCBBoxHead', in_channels=channels, fc_out_channels=1024, roi_feat_size=7,
            num_classes=num_classes, reg_class_agnostic=False,
            bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0., 0., 0., 0.], target_stds=[0.1, 0.1, 0.2, 0.2]),
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
            loss_bbox=box_loss),
        mask_roi_extractor=dict(
            type='SingleRoIExtractor', roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=channels, featmap_strides=strides[:4]),
        mask_head=dict(
            type='FCNMaskHead', num_convs=4, in_channels=channels, conv_out_channels=channels, num_classes=num_classes,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0))),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3,
                          match_low_quality=True, ignore_iof_thr=-1),
            sampler=dict(type='RandomSampler', num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False),
            allowed_border=-1, pos_weight=-1, debug=False),
        rpn_proposal=train_nms,
        rcnn=dict(
            assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5,
                          match_low_quality=True, ignore_iof_thr=-1),
            sampler=dict(type='RandomSampler', num=512, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
            mask_size=28, pos_weight=-1, debug=False)),
    test_cfg=dict(
        rpn=dict(train_nms, nms_pre=1000),
        rcnn=dict(score_thr=score_thr, nms=dict(type='nms', iou_threshold=nms_iou), max_per_img=max_per_img,
                  mask_thr_binary=0.5)))

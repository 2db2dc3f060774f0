# Linear segmentation on frozen NeCo ViT-S/14 features, Pascal VOC: as Leopart's probe with batches of 128 (NeCo, sec.
# 7.2). Scored at 448 x 448, as the published stand-alone script does, on all 1,449 images (published in training: 100 x
# 100 and 1,408 images). Published (repository): 81.4 mIoU from DINOv2, 81.3 mIoU from DINOv2R-XR.
_base_ = [
    '../../_base_/models/linear_densevit-s14.py', '../../_base_/datasets/voc_aug_probe448.py',
    '../../_base_/schedules/probe_25e_batch128.py', '../../_base_/probe_runtime.py'
]
train_dataloader = dict(batch_size=128)

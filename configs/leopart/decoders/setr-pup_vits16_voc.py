# SETR-PUP on a ViT-S/16, fine-tuned with its backbone on Pascal VOC. Not published with Leopart.
_base_ = [
    '../../_base_/models/setr-pup.py', '../../_base_/datasets/voc_aug_448.py',
    '../../_base_/schedules/finetune_20k.py', '../../_base_/probe_runtime.py',
]

# NeCo from TimeTuning's ViT-S/16 on COCO, 1 GPU x 45, 50 epochs, references from the batch.
_base_ = './neco_dino-vits16_coco.py'
checkpoint = 'checkpoints/timetuning_vits16.pth'
model = dict(backbone=dict(checkpoint=checkpoint))

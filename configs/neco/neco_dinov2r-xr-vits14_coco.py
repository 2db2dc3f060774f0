# NeCo from DINOv2's register weights in a ViT-S/14 without registers ("XR") on COCO, 1 GPU x 64, 25 epochs.
# Published (repository): 72.6 mIoU overclustering K = 500, 80.2 dense retrieval, 81.3 linear, on VOC val; fully
# unsupervised 55.1 (paper).
_base_ = './neco_dinov2-vits14_coco.py'
checkpoint = 'checkpoints/dinov2_vits14_reg4_pretrain.pth'
model = dict(backbone=dict(drop_registers=True, checkpoint=checkpoint))

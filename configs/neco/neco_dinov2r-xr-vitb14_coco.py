# NeCo from DINOv2's register weights in a ViT-B/14 without registers ("XR") on COCO, 1 GPU x 16, 25 epochs.
# Published (repository): 71.8 mIoU overclustering K = 500, 83.5 dense retrieval, 83.3 linear, on VOC val.
_base_ = './neco_dinov2-vitb14_coco.py'
checkpoint = 'checkpoints/dinov2_vitb14_reg4_pretrain.pth'
model = dict(backbone=dict(drop_registers=True, checkpoint=checkpoint))
optim_wrapper = dict(optimizer=dict(lr=1e-6))

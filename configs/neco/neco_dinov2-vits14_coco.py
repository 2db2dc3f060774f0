# NeCo from DINOv2 ViT-S/14 on COCO, crops of 518 and 98, 1 GPU x 64, 25 epochs. What the published code does otherwise
# is set in neco_dinov2-vits14_coco_published.py.
_base_ = './_base_/coco_518.py'

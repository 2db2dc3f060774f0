# Published default of the script, neco_config_dev: goes on from a NeCo checkpoint of one's own, crops of 224 and 98, 1
# GPU x 55, 50 epochs. It states no number.
_base_ = './neco_dinov2r-xr-vits14_coco_steep-100-100.py'
checkpoint = 'checkpoints/neco_vits14.pth'
model = dict(backbone=dict(drop_registers=False, checkpoint=checkpoint))

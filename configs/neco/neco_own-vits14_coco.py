# Published default of the script, neco_config_dev: continues from a NeCo checkpoint, crops of 224 and 98, 1
# GPU x 55, 50 epochs. It states no number.
_base_ = ['./_base_/xr_ablation.py', './_base_/coco_batch55.py']
checkpoint = 'checkpoints/neco_vits14.pth'
model = dict(backbone=dict(drop_registers=False, checkpoint=checkpoint))

# PriMaPs-EM on Cityscapes-27: features of DINO ViT-S/8 at 320 x 320, 50 epochs of batches of 32.
_base_ = [
    '../_base_/models/primaps.py', '../_base_/datasets/cityscapes27_primaps.py',
    '../_base_/schedules/primaps_50e.py', '../_base_/primaps_scores.py', '../_base_/probe_runtime.py'
]
initialisation = 'baseline_dino-vits8_cityscapes27.py'

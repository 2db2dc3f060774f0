# PriMaPs-EM on Potsdam-3: features of DINO ViT-S/8 at 320 x 320, 50 epochs of batches of 32. Rates, EMA and epochs are
# not stated for this data set: those of Cityscapes with DINO are taken.
_base_ = [
    '../_base_/models/primaps.py', '../_base_/datasets/potsdam3_primaps.py',
    '../_base_/schedules/primaps_50e.py', '../_base_/primaps_scores.py', '../_base_/probe_runtime.py'
]
initialisation = 'baseline_dino-vits8_potsdam3.py'
num_classes = 3
model = dict(decode_head=dict(num_prototypes=num_classes), linear_probe=dict(num_classes=num_classes))

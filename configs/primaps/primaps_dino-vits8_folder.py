# PriMaPs-EM on a folder of images without labels, features of DINO ViT-S/8 at 320 x 320. Usage:
#   python tools/primaps.py THIS_FILE --images my/images --work-dir work_dirs/mine \
#       --cfg-options num_classes=27 backbone=timm://vit_small_patch8_224.dino
# (or checkpoint=FILE), which makes proposals, first prototypes (baseline_dino-vits8_folder.py) and the segmentor in
# work_dirs/mine/result/model.pth. There is no linear probe, since there are no labels. batch_size=8 for a few hundred
# images.
_base_ = [
    '../_base_/models/primaps.py', '../_base_/datasets/primaps_folder.py', '../_base_/schedules/primaps_50e.py',
    '../_base_/probe_runtime.py'
]
initialisation = 'baseline_dino-vits8_folder.py'
data_root = 'data/images'
batch_size = 32
init_epochs = 10  # of a few thousand images 2 are enough; what matters are 100 to 200 steps
num_classes = 27
model = dict(linear_probe=None)
train_dataloader = dict(batch_size=batch_size)

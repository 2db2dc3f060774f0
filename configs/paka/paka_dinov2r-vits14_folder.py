# PaKA on a folder of images, from DINOv2's ViT-S/14 with registers. Usage:
#   python tools/train.py THIS_FILE --cfg-options data_root=my/images backbone=timm://vit_small_patch14_reg4_dinov2
# (or checkpoint=FILE). All but the loss, the uncoloured crops of the teacher, and that local crops lie in a global one, is
# as in NeCo's file for folders, also crop_sizes=224,98 for quick trials.
_base_ = ['../neco/neco_dinov2r-vits14_folder.py']
model = dict(type='leopart_mm.PaKA', head=dict(_delete_=True, type='leopart_mm.PaKALoss', kernel=7))
train_pipeline = [
    _base_.load_image, dict(_base_.crops, sizes=_base_.crop_sizes, min_containment=0.9),
    dict(_base_.colours, clean_global=True), _base_.pack
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# Leopart from DINO ViT-S/16 on VOC trainaug (10,582 images, unlabelled), 500 epochs; train_voc of the paper.
_base_ = './leopart_dino-vits16_in100.py'
data_root = 'data/VOCdevkit/VOC2012'
train_split = 'trainaug'  # plain VOC 2012: train_split=train
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='leopart_mm.UnlabelledImages', data_root=data_root,
        ann_file=f'ImageSets/Segmentation/{train_split}.txt', data_prefix=dict(img_path='JPEGImages'),
        pipeline=_base_.train_pipeline))
epochs = 500
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, eta_min=0., by_epoch=True, begin=0, end=epochs, convert_to_iter_based=True),
    dict(type='CosineAnnealingWeightDecay', T_max=epochs, eta_min=0.5, by_epoch=True, begin=0, end=epochs,
         convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs, val_interval=10)

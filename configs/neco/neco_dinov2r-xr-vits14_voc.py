# Published ablation steepness_voc: VOC trainaug (10,582 images, unlabelled), odd-even sorting network. Published
# without shuffling and with the last, incomplete batch.
_base_ = './neco_dinov2r-xr-vits14_coco_odd-even.py'
data_root = 'data/VOCdevkit/VOC2012'
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='leopart_mm.UnlabelledImages', data_root=data_root,
        ann_file='ImageSets/Segmentation/trainaug.txt', data_prefix=dict(img_path='JPEGImages'),
        pipeline=_base_.train_pipeline))

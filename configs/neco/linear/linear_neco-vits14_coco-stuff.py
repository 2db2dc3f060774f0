# Linear segmentation on frozen NeCo ViT-S/14 features, COCO-Stuff: a random 10 % of train2017, all of val2017; masks by
# tools/dataset_converters/coco_stuff15.py. Published: 62.0 mIoU from DINOv2R-XR (paper, table 2).
_base_ = './linear_neco-vits14_voc.py'
data_root = 'data/coco'
model = dict(decode_head=dict(num_classes=15))
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='leopart_mm.COCOStuff15', data_root=data_root, split='train2017', num_samples=11829,
        subset_seed=0, pipeline=_base_.train_pipeline))
val_dataloader = dict(
    dataset=dict(
        _delete_=True, type='leopart_mm.COCOStuff15', data_root=data_root, split='val2017', test_mode=True,
        pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader

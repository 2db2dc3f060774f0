# MaskDistill whole, on Pascal VOC 2012 (docs/methods/maskdistill.md): masks of the 11,540 images of trainval, clustered
# with those of VOC 2007 as support set and named by VOC's boxes; label maps of the 10,582 images of trainaug. Usage:
#   python tools/maskdistill.py THIS_FILE --images data/VOCdevkit/VOC2012 --work-dir work_dirs/voc
# Published weights: DINO ViT-S/16 and S/8, MoCo ResNet-50; the detector's settings are ours.
num_clusters = 20
data_root = 'data/VOCdevkit/VOC2012'
support_root = 'data/VOCdevkit/VOC2007'
rounds = 1
chain = dict(
    masks='masks_dino-vits16_voc.py',
    clusters='clusters_dino-vits8_voc.py',
    detector='mask-rcnn_r50_voc.py',
    deeplab='deeplab_moco-r50_voc.py',
    support='masks_dino-vits16_voc.py',
    support_root=support_root,
    data_root=data_root,
    image_folder='JPEGImages',
    train_list='ImageSets/Segmentation/trainaug.txt',
    num_clusters=num_clusters,
    rounds=rounds,
    label_maps=dict(threshold=0.9, order='file', overlap='published'),
    crf=dict(),
    ground_truth=dict(
        class_maps='SegmentationClassAug', objects='SegmentationObject', objects_from='SegmentationClass',
        lists=('train', 'val'), boxes='Annotations'))

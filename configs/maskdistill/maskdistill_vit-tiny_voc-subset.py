# MaskDistill whole, on 180 images of VOC from a supervised ViT-Ti/16 and for two CPU cores; settings are ours. The
# subset has no maps of objects, so those are the connected components of its classes: AP50 compares with nothing else.
#   python tools/maskdistill.py THIS_FILE --images VOC2012 --work-dir work_dirs/subset --cfg-options checkpoint=FILE
num_clusters = 20
data_root = 'data/VOCdevkit/VOC2012'
rounds = 1
chain = dict(
    masks='masks_vit-tiny_voc-subset.py',
    clusters='clusters_vit-tiny_voc-subset.py',
    detector='mask-rcnn_vit-tiny_voc-subset.py',
    deeplab='deeplab_vit-tiny_voc-subset.py',
    data_root=data_root,
    image_folder='JPEGImages',
    train_list='ImageSets/Segmentation/train.txt',
    num_clusters=num_clusters,
    rounds=rounds,
    label_maps=dict(threshold=0.5, order='score', overlap='first_wins'),
    crf=dict(),
    ground_truth=dict(class_maps='SegmentationClass', objects='components', lists=('train', 'val')))

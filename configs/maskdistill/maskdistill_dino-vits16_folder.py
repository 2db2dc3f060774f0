# MaskDistill whole, on a folder of images without labels: categories are the ids of clusters, nothing is scored, the
# last checkpoint counts. Usage:
#   python tools/maskdistill.py THIS_FILE --images my/images --work-dir work_dirs/mine --cfg-options num_clusters=27 \
#       masks.backbone=timm://vit_small_patch16_224.dino clusters.backbone=timm://vit_small_patch8_224.dino \
#       detector.checkpoint=moco.pth.tar deeplab.checkpoint=moco.pth.tar detector.iterations=6000
# A few thousand images need fewer iterations than the default; for a few hundred add deeplab.batch_size=8.
num_clusters = 27
data_root = 'data/images'
rounds = 1
chain = dict(
    masks='masks_dino-vits16_folder.py',
    clusters='clusters_dino-vits8_voc.py',
    detector='mask-rcnn_r50_folder.py',
    deeplab='deeplab_moco-r50_folder.py',
    data_root=data_root,
    num_clusters=num_clusters,
    rounds=rounds,
    label_maps=dict(threshold=0.9, order='score', overlap='first_wins'),
    crf=dict())

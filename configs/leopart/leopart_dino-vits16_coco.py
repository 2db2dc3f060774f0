# Leopart from DINO ViT-S/16 on COCO train2017 (118,287 images, unlabelled); train_coco of the paper.
# Published ViT-S/16 (paper; for which training set is not stated): 53.5 mIoU overclustering K = 500, 69.3 linear, 71.4
# FCN.
_base_ = './leopart_dino-vits16_in100.py'
data_root = 'data/coco/images/train2017'
train_dataloader = dict(dataset=dict(data_root=data_root, folders=None))

# The data of NeCo's ablations on VOC trainaug (10,582 images, unlabelled), crops of 224 and 98, batches of 55.
# Published without shuffling and with the last, incomplete batch.
_base_ = '../../_base_/datasets/unlabelled_multicrop_224-98.py'
data_root = 'data/VOCdevkit/VOC2012'
train_split = 'trainaug'  # plain VOC 2012: train_split=train
train_dataloader = dict(
    batch_size=55,
    dataset=dict(
        data_root=data_root, ann_file=f'ImageSets/Segmentation/{train_split}.txt', data_prefix=dict(img_path='JPEGImages')))

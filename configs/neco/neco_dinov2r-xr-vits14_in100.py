# Published ablation steepness_in100: ImageNet-100 (126,689 images), odd-even sorting network. No number is in the
# specification.
_base_ = './neco_dinov2r-xr-vits14_coco_odd-even.py'
# The class folders to take, one wnid a line: looked for here and in data_root.
data_root = 'data/imagenet/train'
train_dataloader = dict(dataset=dict(data_root=data_root, folders='imagenet100.txt'))

# Published ablation steepness_in100: ImageNet-100 (126,689 images), odd-even sorting network.
_base_ = ['./_base_/xr_ablation.py', './_base_/coco_batch55.py']
model = dict(head=dict(network='odd_even'))
# The class folders to take, one wnid per line: looked for here and in data_root.
data_root = 'data/imagenet/train'
train_dataloader = dict(dataset=dict(data_root=data_root, folders='imagenet100.txt'))

# Leopart with the micro ViT on a bare folder of small images: docs/tutorial.ipynb, which gives its start weights. For
# photographs take ../leopart/leopart_dino-vits16_folder.py.
_base_ = './leopart_vit-micro_sample.py'
data_root = 'data/images'
train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='', data_prefix=dict(img_path='')))

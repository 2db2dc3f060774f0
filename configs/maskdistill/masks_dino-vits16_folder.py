# MaskDistill's masks of every image of a folder, by the published settings: DINO's ViT-S/16, last block, shorter side
# 640 pixels. Usage:
#   python tools/generate_masks.py THIS_FILE --out masks/mine --cfg-options data_root=my/images \
#       backbone=timm://vit_small_patch16_224.dino
_base_ = './masks_dino-vits16_voc.py'
data_root = 'data/images'
proposal_dataloader = dict(dataset=dict(data_root=data_root, ann_file=''))

# Leopart on a folder of images, from DINOv3's ViT-S/16. Usage:
#   python tools/train.py THIS_FILE --cfg-options data_root=my/images backbone=timm://vit_small_patch16_dinov3.lvd1689m
# (or checkpoint=FILE; checkpoint=None starts from random weights). As leopart_dino-vits16_folder.py but for the network,
# the colours of whose LVD-1689M weights are ImageNet's too. Other networks, as those of DINOv3's weights for satellite
# images, come with theirs: backbone=timm://vit_large_patch16_dinov3.sat493m.
_base_ = './leopart_dino-vits16_folder.py'
arch = 'vit_small_patch16_dinov3.lvd1689m'
checkpoint = 'checkpoints/dinov3_vits16_pretrain_lvd1689m.pth'
model = dict(backbone=dict(arch=arch, checkpoint=checkpoint))

# As overcluster.py, on a ResNet-50 whose last stage is dilated: 2048 channels at stride 16.
_base_ = './overcluster.py'
model = dict(backbone=dict(_delete_=True, type='leopart_mm.DenseResNet', depth=50))

# ADE20K street scenes, val: 111 part classes; made by tools/dataset_converters/ade20k_street.py.
_base_ = './voc_overcluster.py'
data_root = 'data/ade20k_street'
test_dataloader = dict(dataset=dict(type='leopart_mm.ADE20KStreetParts', split='val', data_root=data_root))

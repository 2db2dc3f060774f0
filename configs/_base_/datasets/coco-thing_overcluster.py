# COCO-Things val2017: 12 super-categories; masks by tools/dataset_converters/coco_things12.py.
_base_ = './voc_overcluster.py'
data_root = 'data/coco'
test_dataloader = dict(dataset=dict(type='leopart_mm.COCOThings12', split='val2017', data_root=data_root))

# COCO-Stuff val2017: 15 super-categories of stuff; masks by tools/dataset_converters/coco_stuff15.py.
_base_ = './voc_overcluster.py'
data_root = 'data/coco'
test_dataloader = dict(dataset=dict(type='leopart_mm.COCOStuff15', split='val2017', data_root=data_root))

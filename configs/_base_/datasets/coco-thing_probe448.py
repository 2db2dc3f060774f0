# COCO-Things 12 for probes, drawn as COCO-Stuff is; masks by tools/dataset_converters/coco_things12.py.
_base_ = './coco-stuff_probe448.py'
train_dataloader = dict(dataset=dict(type='leopart_mm.COCOThings12'))
val_dataloader = dict(dataset=dict(type='leopart_mm.COCOThings12'))
test_dataloader = dict(dataset=dict(type='leopart_mm.COCOThings12'))

# MaskDistill's second DeepLabv3 (docs/methods/maskdistill.md §9, row multi_obj/deeplab_plus_crf): as
# deeplab_moco-r50_voc.py, from MoCo again, on what that one says of its training images after the CRF; scored with CRF.
#   python tools/label_images.py DEEPLAB.pth --images VOC2012/JPEGImages --list trainaug.txt --out DIR
#   python tools/train.py THIS_FILE --cfg-options data_root=VOC2012 label_folder=DIR checkpoint=moco.pth.tar
_base_ = './_base_/deeplab.py'
label_folder = 'work_dirs/maskdistill/voc/labels_crf'
model = dict(postprocessors=_base_.postprocessors)
train_dataloader = dict(dataset=dict(labels=label_folder))
val_dataloader = dict(dataset=dict(pipeline=_base_.pixel_pipeline))
test_dataloader = val_dataloader

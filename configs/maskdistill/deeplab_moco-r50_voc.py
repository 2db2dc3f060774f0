# MaskDistill's DeepLabv3 on the label maps of its detector, VOC trainaug (docs/methods/maskdistill.md §8, row
# multi_obj/deeplab): 48.46 mIoU published. As published but for the border of turned images, which is ignored here, and
# for OHEM, which chooses among all processes; see deeplab_moco-r50_voc_published.py.
#   python tools/train.py THIS_FILE --cfg-options data_root=VOC2012 label_folder=DIR checkpoint=moco.pth.tar
_base_ = './_base_/deeplab.py'

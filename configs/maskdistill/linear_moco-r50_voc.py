# Linear probe of deeplab_moco-r50_voc.py (docs/methods/maskdistill.md §10, row multi_obj/linear/linear_deeplab).
#   python tools/train.py THIS_FILE --cfg-options data_root=VOC2012 checkpoint=DEEPLAB.pth
_base_ = './_base_/linear.py'

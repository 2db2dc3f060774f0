# Dense retrieval from a few examples: images with masks beside them fill the memory, all images of a folder are
# segmented. tools/segment_folder.py runs this (`--fit --examples my/examples`) and counts the classes itself. Usage:
#   python tools/test.py THIS_FILE CHECKPOINT --cfg-options data_root=my/images examples=my/examples num_classes=3
_base_ = [
    '../../_base_/models/retrieval.py', '../../_base_/datasets/examples_448.py',
    '../../_base_/evaluation_runtime.py'
]
num_classes = 21
model = dict(decode_head=dict(num_classes=num_classes))
test_cfg = dict(type='leopart_mm.FitTestLoop', fit_dataloader=_base_.fit_dataloader)
test_evaluator = []  # there is no ground truth to score with

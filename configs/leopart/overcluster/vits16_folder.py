# Clusters of ViT-S/16 features on any folder of images, without lists, masks and scores; `--save-fitted FILE` keeps
# them for tools/segment_folder.py, whose `--fit --clusters K` runs this file. Usage:
#   python tools/test.py THIS_FILE CHECKPOINT --cfg-options data_root=my/images num_clusters=30 --save-fitted fitted.pth
_base_ = [
    '../../_base_/models/overcluster.py', '../../_base_/datasets/folder_448.py', '../../_base_/evaluation_runtime.py'
]
num_clusters = 30
model = dict(
    segments='smooth',  # outlines for people; published numbers: 'blocks'
    decode_head=dict(num_clusters=num_clusters, seeds=1))
test_cfg = dict(fit_dataloader=_base_.fit_dataloader)
test_evaluator = []  # there is no ground truth to score with

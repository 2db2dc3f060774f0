# Fully unsupervised segmentation of any folder of images, without lists, masks and scores: everything is fitted on the
# images, and `--save-fitted FILE` keeps it for tools/segment_folder.py, whose `--fit --objects` runs this file. Usage:
#   python tools/test.py THIS_FILE CHECKPOINT --cfg-options data_root=my/images --save-fitted fitted.pth
# Clusters and communities as in vits16_small.py; run tools/search_communities.py on your images for better ones.
_base_ = '../_base_/fully_unsup.py'
data_root = 'data/images'
image_size = (448, 448)
fit_images = 2000  # at most: a random choice of them
num_clusters = 100
model = dict(
    segments='smooth',  # outlines for people; published numbers: 'blocks'
    postprocessors=dict(
        clusters=dict(num_clusters=num_clusters),
        # what CBFE left as background stays it; published: a cluster like all others
        communities=dict(weight_threshold=0.02, markov_time=0.5, background_cluster='last')))
pipeline = [
    dict(type='leopart_mm.LoadImage'),
    dict(type='Resize', scale=image_size, keep_ratio=False),
    dict(type='PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor')),
]
images = dict(type='leopart_mm.UnlabelledImages', data_root=data_root, pipeline=pipeline)
test_dataloader = dict(dataset=dict(_delete_=True, **images))
test_cfg = dict(
    fit_dataloader=dict(dataset=dict(_delete_=True, num_samples=fit_images, subset_seed=0, **images)))
test_evaluator = []  # there is no ground truth to score with

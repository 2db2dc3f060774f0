# Table 5, "K=150": the clusters from which communities are made, each given to its best class (an upper bound).
# Ground truth merges the clusters here: it is no unsupervised score.
_base_ = '../_base_/fully_unsup.py'
model = dict(postprocessors=dict(clusters=dict(num_clusters=149, seeds=5), communities=None))
test_evaluator = dict(matching='precision')

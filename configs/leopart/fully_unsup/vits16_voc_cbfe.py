# Leopart "+CBFE" (Table 5): foreground features in 20 clusters, background is the 21st; Hungarian, seeds 0..4.
_base_ = '../_base_/fully_unsup.py'
model = dict(postprocessors=dict(clusters=dict(num_clusters=20, seeds=5), communities=None))

# For small data sets in VOC layout (a few hundred images): fewer clusters and a lower edge threshold, since few images
# give few touching clusters. Settings found by tools/search_communities.py without labels (`image_information`) on 260
# VOC images; run it on your own data for better ones.
_base_ = './_base_/fully_unsup.py'
_stages = _base_.model.postprocessors
_stages[1].update(num_clusters=100)
_stages[2].update(weight_threshold=0.02, markov_time=0.5)
model = dict(postprocessors=_stages)

# For small data sets in VOC layout (a few hundred images): fewer clusters and a lower edge threshold, since few images
# give few touching clusters. Settings found by tools/search_communities.py without labels (`image_information`) on 260
# VOC images; run it on your own data for better ones.
_base_ = '../_base_/fully_unsup.py'
model = dict(
    postprocessors=dict(
        clusters=dict(num_clusters=100), communities=dict(weight_threshold=0.02, markov_time=0.5)))

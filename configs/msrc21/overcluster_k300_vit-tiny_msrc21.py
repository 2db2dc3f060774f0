# As overcluster_k100_vit-tiny_msrc21.py with K = 300.
_base_ = ['./overcluster_k100_vit-tiny_msrc21.py']
num_clusters = 300
model = dict(decode_head=dict(num_clusters=num_clusters))

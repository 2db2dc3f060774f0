# As overcluster_k100_vit-tiny_msrc21.py with K = 21, matched one to one (Hungarian).
_base_ = ['./overcluster_k100_vit-tiny_msrc21.py']
num_clusters = 21
model = dict(decode_head=dict(num_clusters=num_clusters))

# Dense retrieval on ADE20K, NeCo ViT-B/14, with a memory of 1024 * 10^4 patches from two passes (the benchmark's own
# table).
_base_ = './retrieval_neco-vitb14_ade20k.py'
model = dict(decode_head=dict(memory_size=10240000, passes=2))

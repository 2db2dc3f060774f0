# Dense retrieval on ADE20K, NeCo ViT-S/14, with a memory of 1024 * 10^2 patches from two passes (the benchmark's own
# table).
_base_ = './retrieval_neco-vits14_ade20k.py'
model = dict(decode_head=dict(memory_size=102400, passes=2))

# Dense retrieval on ADE20K, ViT-B/14, with a memory of 1024 * 10^3 patches from two passes (the table of the
# benchmark itself).
_base_ = './vitb14_ade20k.py'
memory_size = 1024000
model = dict(decode_head=dict(memory_size=memory_size, passes=2))

# Dense retrieval on ADE20K, ViT-S/14, with a memory of 1024 * 10^4 patches from two passes (the table of the
# benchmark itself).
_base_ = './vits14_ade20k.py'
memory_size = 10240000
model = dict(decode_head=dict(memory_size=memory_size, passes=2))

# Dense retrieval on Pascal VOC, ViT-S/14, with a memory of 1024 * 10^3 patches from two passes (the table of the
# benchmark itself).
_base_ = './vits14_voc.py'
memory_size = 1024000
model = dict(decode_head=dict(memory_size=memory_size, passes=2))

# Dense retrieval on Pascal VOC, NeCo ViT-B/14, with a memory of 1024 * 10^3 patches from two passes (the benchmark's
# own table). Published for DINOv2 without NeCo (ScaNN): 74.6 mIoU.
_base_ = './retrieval_neco-vitb14_voc.py'
model = dict(decode_head=dict(memory_size=1024000, passes=2))

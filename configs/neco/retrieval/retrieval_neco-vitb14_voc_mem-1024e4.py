# Dense retrieval on Pascal VOC, NeCo ViT-B/14, with a memory of 1024 * 10^4 patches from two passes (the benchmark's
# own table). Published for DINOv2 without NeCo (ScaNN): 76.9 mIoU.
_base_ = './retrieval_neco-vitb14_voc.py'
model = dict(decode_head=dict(memory_size=10240000, passes=2))

# Dense retrieval on Pascal VOC, NeCo ViT-S/14, with a memory of 1024 * 10^3 patches from two passes (the benchmark's
# own table). Published for DINOv2 without NeCo (ScaNN): 74.9 mIoU.
_base_ = './retrieval_neco-vits14_voc.py'
model = dict(decode_head=dict(memory_size=1024000, passes=2))

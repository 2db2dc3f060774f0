# Dense retrieval on Pascal VOC, NeCo ViT-S/14, with a memory of 1024 * 10^2 patches from two passes (the benchmark's
# own table). Published for DINOv2 without NeCo (ScaNN): 70.2 mIoU.
_base_ = './retrieval_neco-vits14_voc.py'
model = dict(decode_head=dict(memory_size=102400, passes=2))

# Dense retrieval on Pascal VOC as the published code does it: blue divided by 0.255, void pixels in the memory as
# class 0, Hungarian matching of classes that are known, absent classes 0.
_base_ = './vits14_voc.py'
model = dict(
    data_preprocessor=dict(std=[58.395, 57.12, 65.025]),
    decode_head=dict(void='class0'))
test_evaluator = dict(matching=['hungarian', 'direct'], count_ignored=True)

# Dense retrieval on ADE20K as the published code does it: blue divided by 0.255, void pixels in the memory as
# class 0, Hungarian matching of classes that are known, class 0 counted with an IoU of 0.
_base_ = './vits14_ade20k.py'
model = dict(
    data_preprocessor=dict(std=[58.395, 57.12, 65.025]),
    decode_head=dict(void='class0'))
test_evaluator = dict(matching=['hungarian', 'direct'], count_ignored=True)

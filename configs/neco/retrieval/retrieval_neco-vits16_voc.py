# Dense retrieval on Pascal VOC, NeCo ViT-S/16, at 512 x 512. Published (repository): 61.3 mIoU from DINO, 66.5 mIoU
# from TimeT, 66.2 mIoU from Leopart.
_base_ = './retrieval_neco-vits14_voc.py'
side = 512
_fit, _test = _base_.fit_pipeline, _base_.test_pipeline
_fit[3].update(size=side)
_test[1].update(scale=(side, side))
_test[3].update(size=(side, side))
model = dict(backbone=dict(arch='vit_small_patch16_224'))
test_dataloader = dict(dataset=dict(pipeline=_test))
test_cfg = dict(fit_dataloader=dict(dataset=dict(pipeline=_fit)))

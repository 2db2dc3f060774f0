# Ablation: 2 global crops, no local ones; ablate_crops_2 of the paper.
_base_ = './leopart_dino-vits16_in100.py'
crops = dict(_base_.crops, num_crops=(2, ), sizes=(224, ), scales=((0.25, 1.), ))
train_pipeline = [_base_.load_image, crops, _base_.colours, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# Ablation: 2 global and 2 local crops; ablate_crops_22 of the paper.
_base_ = './leopart_dino-vits16_in100.py'
crops = dict(_base_.crops, num_crops=(2, 2))
train_pipeline = [_base_.load_image, crops, _base_.colours, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# Published example neco_518x518: DINOv2 ViT-S/14 with registers on COCO, crops of 518 and 98, 1 GPU x 6, 50 epochs,
# references from the batch. It states no number.
_base_ = './neco_dinov2r-vits14_coco_224px.py'
train_pipeline = _base_.train_pipeline
train_pipeline[1].update(sizes=(518, 98))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# Published ablation steepness_100_100: DINOv2's register weights in a ViT-S/14 without registers, COCO, crops of 224
# and 98, 1 GPU x 55, 50 epochs, references from the batch; steepness 100 of the student and of the teacher.
_base_ = './neco_dinov2r-vits14_coco_224px.py'
model = dict(backbone=dict(arch='vit_small_patch14_dinov2', class_position=False, drop_registers=True))
train_dataloader = dict(batch_size=55)
auto_scale_lr = dict(base_batch_size=55)

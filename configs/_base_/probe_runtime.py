# Runtime of supervised training on top of a pretrained backbone: probes and fine-tuning with mmseg's heads.
_base_ = './default_runtime.py'
default_scope = 'mmseg'
sync_bn = 'torch'  # MMEngine converts BN layers where several processes train

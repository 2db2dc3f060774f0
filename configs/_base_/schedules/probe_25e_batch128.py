# NeCo's probes (docs/methods/neco.md §7.2): as Leopart's, the same rate for batches of 128, scored after every epoch.
_base_ = './probe_25e.py'
train_cfg = dict(val_interval=1)
auto_scale_lr = dict(base_batch_size=128)

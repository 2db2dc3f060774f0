# NeCo's schedule of 50 epochs: Leopart's, with a checkpoint after each epoch.
_base_ = './leopart_50e.py'
default_hooks = dict(checkpoint=dict(interval=1))

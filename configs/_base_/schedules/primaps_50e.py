# PriMaPs-EM (docs/methods/primaps.md §8): Adam at a constant rate, 50 epochs, the last checkpoint counts. The first
# prototypes come from `init_epochs` of k-means, by the config `initialisation` (tools/primaps.py) or load_from=FILE.
_base_ = './primaps_kmeans_50e.py'
epochs = 50
init_epochs = 2
train_cfg = dict(max_epochs=epochs)
custom_hooks = [
    dict(type='leopart_mm.StepSeedHook'),
    dict(type='leopart_mm.ProposalsHook'),
    dict(type='leopart_mm.PrototypeHook'),
    dict(type='leopart_mm.HealthHook'),
    dict(type='leopart_mm.BackboneCheckpointHook'),
]

# PriMaPs-EM on frozen features of DINO's ViT-S/8 (docs/methods/primaps.md §4, §8): mask proposals from principal
# directions; two sets of prototypes, of which one labels the masks and the other learns these labels on images with
# changed colours. Probe, mirror images and CRF as in primaps_kmeans.py.
_base_ = './primaps_kmeans.py'
proposals = dict(type='leopart_mm.PrincipalProposals', threshold=0.4)
model = dict(
    objective=dict(_delete_=True, type='leopart_mm.PrototypeEM', gamma=2., ema_decay=0.98, ema_interval=10),
    student_augmentation=dict(type='leopart_mm.StudentAugmentation'))

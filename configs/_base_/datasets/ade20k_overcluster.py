# ADE20K validation: 150 classes, and label 0, which is no class: set ignore_index=0 in the metric. Images and masks
# resized to 448 x 448, aspect ignored (docs/methods/neco.md §7.1); the metric then takes both to 100 x 100.
_base_ = './voc_overcluster.py'
data_root = 'data/ade/ADEChallengeData2016'
test_dataloader = dict(
    batch_size=32, dataset=dict(type='leopart_mm.ADE20K151', split='validation', data_root=data_root))

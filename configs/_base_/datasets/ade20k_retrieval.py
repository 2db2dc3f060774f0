# Dense retrieval on ADE20K (docs/methods/neco.md §8.1): training fills the memory, validation is scored at 504 x 504,
# aspect ignored. Label 0 is no class: set ignore_index=0 in head and metric. Passes as in voc_retrieval.py.
_base_ = './voc_retrieval.py'
data_root = 'data/ade/ADEChallengeData2016'
test_dataloader = dict(dataset=dict(type='leopart_mm.ADE20K151', split='validation', data_root=data_root))
fit_dataloader = dict(
    dataset=dict(
        _delete_=True, type='leopart_mm.ADE20K151', split='training', data_root=data_root,
        pipeline=_base_.fit_pipeline, test_mode=True))
test_cfg = dict(fit_dataloader=fit_dataloader)

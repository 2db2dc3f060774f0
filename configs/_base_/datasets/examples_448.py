# A few images with masks beside them, from which dense retrieval learns; all images of another folder are segmented.
_base_ = './folder_448.py'
examples = 'data/examples'
fit_dataloader = dict(
    dataset=dict(
        _delete_=True, type='leopart_mm.ExampleImages', data_root=examples,
        pipeline=[
            dict(type='leopart_mm.LoadImage'),
            dict(type='Resize', scale=_base_.image_size, keep_ratio=False),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ]))

"""ADE20K with 150 classes and the rest."""

from typing import Any

from mmseg.datasets import ADE20KDataset

from leopart_mm.datasets.paired_folders import PairedFolders
from leopart_mm.registry import DATASETS


@DATASETS.register_module()
class ADE20K151(PairedFolders):
    """ADE20K's 150 scene-parsing classes as labels 1..150, with label 0 for everything else, as its masks have them.

    Scores leave label 0 out: ``ignore_index=0`` in heads and metrics. mmseg's ADE20KDataset shifts the labels by one
    instead; NeCo's evaluations keep them as here (docs/methods/neco.md §9).

    ::

        data_root (ADEChallengeData2016)
        ├── images/validation/ADE_val_00000001.jpg
        └── annotations/validation/ADE_val_00000001.png

    Args:
        data_root: The folder above.
        split: 'training' (20,210 images) or 'validation' (2,000).
        data_prefix: Other folders for ``img_path`` and ``seg_map_path``.
        **kwargs: Arguments of PairedFolders (``num_samples``, ``subset_seed``, ``pipeline``, ...).
    """

    METAINFO = dict(classes=('other', *ADE20KDataset.METAINFO['classes']),
                    palette=[[0, 0, 0], *ADE20KDataset.METAINFO['palette']])

    def __init__(self, data_root: str = 'data/ade/ADEChallengeData2016', split: str = 'validation',
                 data_prefix: dict | None = None, **kwargs: Any) -> None:
        prefix = dict(img_path=f'images/{split}', seg_map_path=f'annotations/{split}')
        prefix.update(data_prefix or {})
        super().__init__(data_root=data_root, data_prefix=prefix, img_suffix='.jpg', seg_map_suffix='.png',
                         hint='It is in ADEChallengeData2016.', **kwargs)

"""Potsdam with the three classes of unsupervised segmentation."""

from typing import Any

from leopart_mm.datasets.label_tables import POTSDAM3
from leopart_mm.datasets.paired_folders import PairedFolders
from leopart_mm.registry import DATASETS


@DATASETS.register_module()
class Potsdam3(PairedFolders):
    """Crops of 200 x 200 pixels of ISPRS Potsdam with 3 classes (docs/methods/primaps.md §12).

    Images and masks come from ``tools/dataset_converters/potsdam3.py``::

        data_root
        ├── images/1234.png
        ├── annotations/1234.png
        └── labelled_test.txt        1234, one name per line

    Args:
        data_root: The folder above.
        split: The list: 'labelled_train' (4,545 crops) or 'labelled_test' (855); of crops without labels,
            'unlabelled_train', all pixels are ignored.
        data_prefix: Other folders for ``img_path`` and ``seg_map_path``.
        **kwargs: Arguments of PairedFolders (``num_samples``, ``subset_seed``, ``pipeline``, ...).
    """

    METAINFO = dict(classes=tuple(POTSDAM3), palette=[[58, 0, 68], [0, 130, 122], [255, 230, 0]])
    CHECK_IDS = True

    def __init__(self, data_root: str = 'data/potsdam3', split: str = 'labelled_test', data_prefix: dict | None = None,
                 ann_file: str | None = None, **kwargs: Any) -> None:
        prefix = dict(img_path='images', seg_map_path='annotations')
        prefix.update(data_prefix or {})
        super().__init__(data_root=data_root, data_prefix=prefix, img_suffix='.png', seg_map_suffix='.png',
                         ann_file=f'{split}.txt' if ann_file is None else ann_file,
                         hint='Make it with tools/dataset_converters/potsdam3.py.', **kwargs)

"""Cityscapes with the 27 classes of unsupervised segmentation."""

from typing import Any

from leopart_mm.datasets.label_tables import CITYSCAPES27
from leopart_mm.datasets.paired_folders import PairedFolders
from leopart_mm.registry import DATASETS

PALETTE = [[128, 64, 128], [244, 35, 232], [250, 170, 160], [230, 150, 140], [70, 70, 70], [102, 102, 156],
           [190, 153, 153], [180, 165, 180], [150, 100, 100], [150, 120, 90], [153, 153, 153], [153, 153, 153],
           [250, 170, 30], [220, 220, 0], [107, 142, 35], [152, 251, 152], [70, 130, 180], [220, 20, 60], [255, 0, 0],
           [0, 0, 142], [0, 0, 70], [0, 60, 100], [0, 0, 90], [0, 0, 110], [0, 80, 100], [0, 0, 230], [119, 11, 32]]


@DATASETS.register_module()
class Cityscapes27(PairedFolders):
    """Cityscapes' fine annotations with 27 classes, the ids 7 to 33 (docs/methods/primaps.md §12).

    mmseg's CityscapesDataset has 19. Masks come from ``tools/dataset_converters/cityscapes27.py``::

        data_root
        ├── leftImg8bit/val/frankfurt/frankfurt_000000_000294_leftImg8bit.png
        └── gtFine27/val/frankfurt/frankfurt_000000_000294.png

    Args:
        data_root: The folder above.
        split: 'train' (2,975 images) or 'val' (500).
        data_prefix: Other folders for ``img_path`` and ``seg_map_path``.
        **kwargs: Arguments of PairedFolders (``num_samples``, ``subset_seed``, ``pipeline``, ...).
    """

    METAINFO = dict(classes=tuple(CITYSCAPES27), palette=PALETTE)
    CHECK_IDS = True

    def __init__(self, data_root: str = 'data/cityscapes', split: str = 'val', data_prefix: dict | None = None,
                 **kwargs: Any) -> None:
        prefix = dict(img_path=f'leftImg8bit/{split}', seg_map_path=f'gtFine27/{split}')
        prefix.update(data_prefix or {})
        super().__init__(data_root=data_root, data_prefix=prefix, img_suffix='_leftImg8bit.png', seg_map_suffix='.png',
                         hint='Make it with tools/dataset_converters/cityscapes27.py.', **kwargs)

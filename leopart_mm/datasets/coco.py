"""COCO's super-categories as segmentation data sets: 15 of stuff, 12 of things."""

from typing import Any

from leopart_mm.datasets.coco_categories import STUFF_SUPERCATEGORIES, THING_SUPERCATEGORIES
from leopart_mm.datasets.paired_folders import PairedFolders
from leopart_mm.palette import distinct_colours
from leopart_mm.registry import DATASETS


class _COCOSuperCategories(PairedFolders):
    """``images/<split>/<id>.jpg`` and converted masks ``annotations/<FOLDER>/<split>/<id>.png``."""

    FOLDER = ''

    def __init__(self, data_root: str = 'data/coco', split: str = 'val2017', data_prefix: dict | None = None,
                 **kwargs: Any) -> None:
        prefix = dict(img_path=f'images/{split}', seg_map_path=f'annotations/{self.FOLDER}/{split}')
        prefix.update(data_prefix or {})
        super().__init__(data_root=data_root, data_prefix=prefix, img_suffix='.jpg', seg_map_suffix='.png',
                         hint=f'Make it with tools/dataset_converters/coco_{self.FOLDER}.py.', **kwargs)


@DATASETS.register_module()
class COCOStuff15(_COCOSuperCategories):
    """COCO-Stuff merged to 15 super-categories; things and 'other' are ignored (docs/methods/leopart.md §12).

    Masks come from ``tools/dataset_converters/coco_stuff15.py``::

        data_root
        ├── images/val2017/000000000139.jpg
        └── annotations/stuff15/val2017/000000000139.png

    Args:
        data_root: COCO's folder.
        split: 'train2017' or 'val2017'.
        data_prefix: Other folders for ``img_path`` and ``seg_map_path``.
        **kwargs: Arguments of PairedFolders (``num_samples``, ``subset_seed``, ``pipeline``, ...).
    """

    FOLDER = 'stuff15'
    METAINFO = dict(classes=tuple(STUFF_SUPERCATEGORIES),
                    palette=distinct_colours(len(STUFF_SUPERCATEGORIES)).tolist())


@DATASETS.register_module()
class COCOThings12(_COCOSuperCategories):
    """COCO's thing classes merged to 12 super-categories; stuff is ignored (docs/methods/leopart.md §12).

    Masks come from ``tools/dataset_converters/coco_things12.py``, in ``annotations/things12/<split>``. Arguments as in
    COCOStuff15.
    """

    FOLDER = 'things12'
    METAINFO = dict(classes=tuple(THING_SUPERCATEGORIES),
                    palette=distinct_colours(len(THING_SUPERCATEGORIES)).tolist())
